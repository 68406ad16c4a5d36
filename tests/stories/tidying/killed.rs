//! A kill while a backlog goes.

use crate::world::daemon::Ca;
use crate::world::faults::Faults;
use crate::world::outcome::assert_says;
use crate::world::patience::{eventually, seconds};

const BACKLOG: u32 = 20_000;

/// Killed with half of it gone, and the power cut: what is left fits together, and goes as well.
#[test]
fn a_kill_in_the_middle_of_tidying_leaves_nothing_half_gone() {
    let mut ca = Ca::planned(&["--validation-allow", "127.0.0.0/8"]);
    let faults = Faults::of(&mut ca);
    ca.launch();
    let issuer = ca.make_issuer("acme.com");
    let client = ca.unchallenged_client(&issuer, "acme.com");
    let kept = client.order(&["acme.com"]);
    assert!(ca.stop().success());
    ca.tamper(&super::backlog("acme.com", BACKLOG));
    faults.everything_is_synced();
    ca.launch();
    let left = |ca: &Ca| ca.query("SELECT count(*) FROM orders WHERE expires = 1").parse::<u32>().unwrap();
    assert_eq!(left(&ca), BACKLOG, "tidying begins a minute after the start");
    // So that there is a middle.
    faults.order("slow 200");
    eventually("some of it is gone", seconds(100), || (left(&ca) < BACKLOG).then_some(()));
    ca.kill();
    faults.cut_power(|| false);
    faults.order("");
    let half = left(&ca);
    assert!(0 < half && half < BACKLOG, "{half} are left");
    let state = ca.state_dir();
    ca.run(&["check", "--offline", "--state-dir", state.to_str().unwrap()]).succeeded();

    ca.launch();
    assert_eq!(client.fetch(&kept.url).expect(200).json()["status"], "ready");
    eventually("the rest goes", seconds(120), || (left(&ca) == 0).then_some(()));
    ca.run(&["check"]).succeeded();
    assert_says(&ca.run(&["audit", "--verify"]).succeeded().stdout, &["whole"]);
    assert_eq!(client.fetch(&kept.url).expect(200).json()["status"], "ready");
}
