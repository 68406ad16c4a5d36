//! Accounts that are made while everything else happens: one that was told of is there after every kill.

use super::*;
use crate::world::account_key::AccountKey;
use crate::world::acme::external_account_binding;
use crate::world::issuer::Eab;

/// Of one credential, in one round.
pub(super) const USES: usize = 1000;

/// An account that was told of: its key and its URL.
pub(super) struct Registered {
    key: AccountKey,
    url: String,
}

impl Story {
    /// One account after the other, as many as the credential is good for.
    pub(super) fn register_until_killed(&self, eab: &Eab) {
        for _ in 0..USES {
            let Some(registered) = self.register(eab) else { return };
            self.journal.lock().unwrap().registered.push(registered);
        }
    }

    fn register(&self, eab: &Eab) -> Option<Registered> {
        let client = self.client.clone().with_key(AccountKey::es256());
        let url = client.url("newAccount");
        let binding = external_account_binding(&client.key, &url, eab, "HS256", &ring::hmac::HMAC_SHA256);
        let payload = json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding});
        let reply = self.alive(client.try_post(&url, Some(&payload)))?.expect(201);
        Some(Registered { key: client.key, url: reply.required_header("location") })
    }

    /// Those of this round; those of earlier ones have been looked at.
    pub(super) fn check_accounts(&mut self) {
        let registered = std::mem::take(&mut self.journal.get_mut().unwrap().registered);
        for Registered { key, url } in registered {
            let client = Client { key, account: Some(url.clone()), ..self.client.clone() };
            let account = client.fetch(&url).expect(200).json();
            assert_eq!(account["status"], "valid", "{url}: {account}");
        }
    }
}
