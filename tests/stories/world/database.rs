//! The daemon's database file, read by another SQLite than the daemon's own.

use super::daemon::Ca;
use super::outcome::Outcome;
use std::process::Command;

impl Ca {
    /// How many certificates were ever made for orders. The daemon's own are not counted.
    pub fn count_certificates(&self) -> u64 {
        let count = self.query("SELECT count(*) FROM certificates WHERE purpose = 'acme'");
        count.parse().unwrap()
    }

    /// Change the file of a daemon that is not running, as somebody who should not could.
    pub fn tamper(&self, sql: &str) {
        let script =
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.executescript(sys.argv[2]); db.close()";
        let path = self.state_dir().join("certwright.db");
        let output = Command::new("/usr/bin/python3").args(["-I", "-c", script]).arg(path).arg(sql).output().unwrap();
        Outcome::new(sql, output).succeeded();
    }

    /// The first column of the first row.
    pub fn query(&self, sql: &str) -> String {
        let script =
            "import sqlite3, sys; print(sqlite3.connect(sys.argv[1], uri=True).execute(sys.argv[2]).fetchone()[0])";
        let path = format!("file:{}?mode=ro", self.state_dir().join("certwright.db").display());
        let output = Command::new("/usr/bin/python3").args(["-I", "-c", script, &path, sql]).output().unwrap();
        Outcome::new(sql, output).succeeded().stdout.trim().to_string()
    }
}
