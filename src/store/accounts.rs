//! ACME accounts (RFC 8555, 7.1.2). An account belongs to one issuer.

use super::{MOST_SEEN, Read, Write};
use crate::clock::{Span, Time};
use crate::error::{Class, Error, Result};
use rusqlite::Row;

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Row id; its URL ends with it.
    pub id: i64,
    /// The issuer that it is registered with.
    pub issuer: i64,
    /// Its public key.
    pub spki: Vec<u8>,
    /// The key's thumbprint (RFC 7638).
    pub thumbprint: String,
    /// Contact URLs.
    pub contacts: Vec<String>,
    /// When the terms of service were agreed to.
    pub terms_agreed: Option<Time>,
    /// The credential that it was made with.
    pub eab: Option<String>,
    /// When it was made.
    pub created: Time,
    /// When it last ordered something, to the hour.
    pub last_used: Time,
    /// When it was deactivated.
    pub deactivated: Option<Time>,
}

/// The status of an account that is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AccountStatus {
    Valid,
    Deactivated,
}

impl AccountStatus {
    /// The word in RFC 8555, 7.1.6.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountStatus::Valid => "valid",
            AccountStatus::Deactivated => "deactivated",
        }
    }
}

impl Account {
    /// Its status.
    pub fn status(&self) -> AccountStatus {
        if self.deactivated.is_some() { AccountStatus::Deactivated } else { AccountStatus::Valid }
    }
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The issuer to register with.
    pub issuer: i64,
    /// Its public key.
    pub spki: Vec<u8>,
    /// The key's thumbprint.
    pub thumbprint: String,
    /// Contact URLs.
    pub contacts: Vec<String>,
    /// Whether the terms of service were agreed to.
    pub terms_agreed: bool,
    /// The credential that it is made with.
    pub eab: Option<String>,
}

const COLUMNS: &str = "id, issuer, spki, thumbprint, contacts, terms_agreed, eab, created, last_used, deactivated";

impl Read<'_> {
    /// The account with this id, unless it is deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn account(&self, id: i64) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1 AND deleted IS NULL");
        self.optional(&sql, [id], account_from)
    }

    /// Whether there is, or was, an account with this id.
    ///
    /// # Errors
    /// The database's.
    pub fn was_account(&self, id: i64) -> Result<bool> {
        Ok(self.optional("SELECT 1 FROM accounts WHERE id = ?1", [id], |_| Ok(()))?.is_some())
    }

    /// The account of this key with this issuer, unless it is deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn account_by_key(&self, issuer: i64, thumbprint: &str) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM accounts WHERE issuer = ?1 AND thumbprint = ?2 AND deleted IS NULL");
        self.optional(&sql, (issuer, thumbprint), account_from)
    }

    /// See the id of every account of an issuer, or of all issuers, that is not deleted, or of the newest hundred thousand.
    ///
    /// # Errors
    /// The database's.
    pub fn each_account_id(&self, issuer: Option<i64>, mut see: impl FnMut(i64)) -> Result<()> {
        let sql = format!(
            "SELECT id FROM accounts WHERE (?1 IS NULL OR issuer = ?1) AND deleted IS NULL ORDER BY id DESC LIMIT {MOST_SEEN}"
        );
        self.each(&sql, [issuer], |row| row.get(0).map(&mut see))
    }

    /// All accounts of an issuer that are not deleted, with the number of their orders.
    ///
    /// # Errors
    /// The database's.
    pub fn accounts(&self, issuer: i64) -> Result<Vec<(Account, i64)>> {
        let sql = format!(
            "SELECT {COLUMNS}, (SELECT count(*) FROM orders o WHERE o.account = accounts.id) FROM accounts
             WHERE issuer = ?1 AND deleted IS NULL ORDER BY id"
        );
        self.all(&sql, [issuer], |row| Ok((account_from(row)?, row.get(10)?)))
    }
}

impl Write<'_> {
    /// Register a key, unless it is registered already: then its account is given, and `false`.
    ///
    /// # Errors
    /// Unauthorized when the credential no longer serves; BadPublicKey when the key is blocked.
    pub fn register_account(&self, new: &NewAccount, now: Time) -> Result<(Account, bool)> {
        if let Some(existing) = self.account_by_key(new.issuer, &new.thumbprint)? {
            return Ok((existing, false));
        }
        self.check_not_blocked(&new.spki)?;
        if let Some(kid) = &new.eab {
            self.use_eab(kid, new.issuer, now)?;
        }
        let id = self.insert(
            "INSERT INTO accounts (issuer, spki, thumbprint, contacts, terms_agreed, eab, created, last_used)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            (
                new.issuer,
                &new.spki,
                &new.thumbprint,
                new.contacts.join("\n"),
                new.terms_agreed.then_some(now),
                &new.eab,
                now,
            ),
        )?;
        let account = self.account(id)?.ok_or_else(|| Error::internal("a new account is not there"))?;
        Ok((account, true))
    }

    /// Change the contacts of a valid account.
    ///
    /// # Errors
    /// AccountDeactivated when it is not valid any more.
    pub fn set_contacts(&self, account: i64, contacts: &[String]) -> Result<()> {
        let changed = self.execute(
            "UPDATE accounts SET contacts = ?2 WHERE id = ?1 AND deactivated IS NULL AND deleted IS NULL",
            (account, contacts.join("\n")),
        )?;
        must_be_valid(changed)
    }

    /// Give an account another key (RFC 8555, 7.3.5).
    ///
    /// # Errors
    /// Conflict when an account of the issuer has that key, or this one has another by now; AccountDeactivated when it is
    /// not valid any more; BadPublicKey when the new key is blocked.
    pub fn change_account_key(&self, account: &Account, spki: &[u8], thumbprint: &str) -> Result<()> {
        self.check_not_blocked(spki)?;
        if self.account_by_key(account.issuer, thumbprint)?.is_some() {
            return Err(Error::conflict("the new key belongs to an account already"));
        }
        if self.account(account.id)?.is_some_and(|found| found.thumbprint != account.thumbprint) {
            return Err(Error::conflict("the key of the account was changed meanwhile"));
        }
        let changed = self.execute(
            "UPDATE accounts SET spki = ?2, thumbprint = ?3 WHERE id = ?1 AND deactivated IS NULL AND deleted IS NULL",
            (account.id, spki, thumbprint),
        )?;
        must_be_valid(changed)
    }

    /// Note, once an hour, that the account asked for something.
    ///
    /// # Errors
    /// AccountDeactivated when it is not valid any more.
    pub fn touch_account(&self, account: i64, now: Time) -> Result<()> {
        let sql = "SELECT last_used FROM accounts WHERE id = ?1 AND deactivated IS NULL AND deleted IS NULL";
        let Some(last) = self.optional(sql, [account], |row| row.get::<_, Time>(0))? else { return must_be_valid(0) };
        if (last..last.plus(Span::HOUR)).contains(&now) {
            return Ok(());
        }
        self.execute_on_record("UPDATE accounts SET last_used = ?2 WHERE id = ?1", (account, now))?;
        Ok(())
    }

    /// Deactivate an account and end what it has pending. Deactivating twice changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub fn deactivate_account(&self, account: i64, now: Time) -> Result<()> {
        self.execute("UPDATE accounts SET deactivated = coalesce(deactivated, ?2) WHERE id = ?1", (account, now))?;
        self.execute(
            "UPDATE authorizations SET deactivated = ?2 WHERE account = ?1 AND deactivated IS NULL",
            (account, now),
        )?;
        Ok(())
    }

    /// Deactivate an account and take it out of sight; its contacts are blanked, its key may register again.
    ///
    /// # Errors
    /// The database's.
    pub fn delete_account(&self, account: i64, now: Time) -> Result<()> {
        self.deactivate_account(account, now)?;
        self.execute("UPDATE accounts SET deleted = ?2, contacts = '' WHERE id = ?1", (account, now))?;
        Ok(())
    }
}

fn must_be_valid(changed: usize) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(Error::new(Class::AccountDeactivated, "the account is deactivated")) }
}

fn account_from(row: &Row<'_>) -> rusqlite::Result<Account> {
    let contacts: String = row.get(4)?;
    Ok(Account {
        id: row.get(0)?,
        issuer: row.get(1)?,
        spki: row.get(2)?,
        thumbprint: row.get(3)?,
        contacts: contacts.lines().map(str::to_owned).collect(),
        terms_agreed: row.get(5)?,
        eab: row.get(6)?,
        created: row.get(7)?,
        last_used: row.get(8)?,
        deactivated: row.get(9)?,
    })
}
