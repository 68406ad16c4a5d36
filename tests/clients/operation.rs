//! What a client may be able to do: the columns of the table.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    RegisterWithEab,
    Http01,
    SeveralNames,
    RsaKey,
    EcKey,
    Renew,
    WildcardByDns01,
    TlsAlpn01,
    Revoke,
    ChangeContact,
    ChangeKey,
    Deactivate,
    /// What client-config prints, as it is printed.
    AsPrinted,
}

impl Operation {
    pub const ALL: [Operation; 13] = [
        Operation::RegisterWithEab,
        Operation::Http01,
        Operation::SeveralNames,
        Operation::RsaKey,
        Operation::EcKey,
        Operation::Renew,
        Operation::WildcardByDns01,
        Operation::TlsAlpn01,
        Operation::Revoke,
        Operation::ChangeContact,
        Operation::ChangeKey,
        Operation::Deactivate,
        Operation::AsPrinted,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Operation::RegisterWithEab => "EAB",
            Operation::Http01 => "http-01",
            Operation::SeveralNames => "names",
            Operation::RsaKey => "RSA",
            Operation::EcKey => "EC",
            Operation::Renew => "renew",
            Operation::WildcardByDns01 => "wildcard",
            Operation::TlsAlpn01 => "tls-alpn-01",
            Operation::Revoke => "revoke",
            Operation::ChangeContact => "contact",
            Operation::ChangeKey => "new key",
            Operation::Deactivate => "deactivate",
            Operation::AsPrinted => "as printed",
        }
    }
}
