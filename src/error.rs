//! What can go wrong: a class that a program acts on and a sentence that a person reads.

use std::fmt;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! classes {
    ($(#[$attribute:meta])* pub enum Class { $($(#[$doc:meta])* $class:ident,)* }) => {
        $(#[$attribute])*
        pub enum Class {
            $($(#[$doc])* $class,)*
        }

        impl Class {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Class] = &[$(Class::$class,)*];

            /// The name under which it is kept in the database.
            pub fn name(self) -> &'static str {
                match self {
                    $(Class::$class => stringify!($class),)*
                }
            }

            /// The class of that name.
            pub fn parse(name: &str) -> Option<Class> {
                match name {
                    $(stringify!($class) => Some(Class::$class),)*
                    _ => None,
                }
            }
        }
    };
}

classes! {
    /// Why something was refused or failed. The ACME room maps each class to one problem type (RFC 8555, 6.7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Class {
        /// The account is deactivated.
        AccountDeactivated,
        /// The key of a request belongs to no account here.
        AccountDoesNotExist,
        /// Another order replaces the certificate already.
        AlreadyReplaced,
        /// The certificate is revoked already.
        AlreadyRevoked,
        /// The certificate signing request is not acceptable.
        BadCsr,
        /// The MAC algorithm of an external account binding is not supported.
        BadMacAlgorithm,
        /// The anti-replay nonce is unknown or used.
        BadNonce,
        /// The public key is malformed, weak or of a kind that is not supported.
        BadPublicKey,
        /// The revocation reason cannot be chosen here.
        BadRevocationReason,
        /// The JWS algorithm is not supported.
        BadSignatureAlgorithm,
        /// The domain's CAA records forbid it.
        Caa,
        /// Several things are wrong, each of its own class.
        Compound,
        /// Another request got there first, or the state does not allow it any more.
        Conflict,
        /// A validation could not connect.
        Connection,
        /// A validation could not resolve the name.
        Dns,
        /// The account must be bound to an external account.
        ExternalAccountRequired,
        /// A validation got a wrong answer.
        IncorrectResponse,
        /// A fault of ours; the detail goes to the log, not to a client.
        Internal,
        /// A contact URL is malformed.
        InvalidContact,
        /// The issuer does not offer the profile.
        InvalidProfile,
        /// The request does not say what it should.
        Malformed,
        /// No such resource, or none that the asker may see.
        NotFound,
        /// The order cannot be finalized in its present state.
        OrderNotReady,
        /// A limit was reached.
        RateLimited,
        /// Policy forbids the name.
        RejectedIdentifier,
        /// A validation met a TLS error.
        Tls,
        /// The asker may not do this.
        Unauthorized,
        /// It cannot be done at the moment; the same request may succeed later.
        Unavailable,
        /// A contact URL has a scheme that is not supported.
        UnsupportedContact,
        /// The type of identifier is not supported.
        UnsupportedIdentifier,
        /// The body is of a media type that is not taken here.
        UnsupportedMediaType,
        /// The terms of service have not been agreed to.
        UserActionRequired,
    }
}

/// An error: its class, one sentence that says what was wrong and what to do, and where it concerns single
/// identifiers, one error for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    class: Class,
    detail: String,
    identifier: Option<Box<str>>,
    identifier_type: Option<Box<str>>,
    parts: Vec<Error>,
    retry_after: Option<u32>,
    location: Option<Box<str>>,
    is_told: bool,
}

impl Error {
    /// An error of `class`; `detail` is one sentence for a person.
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Error {
            class,
            detail: detail.into(),
            identifier: None,
            identifier_type: None,
            parts: Vec::new(),
            retry_after: None,
            location: None,
            is_told: false,
        }
    }

    /// A fault of ours. The detail is for the log.
    pub fn internal(detail: impl Into<String>) -> Self {
        Error::new(Class::Internal, detail)
    }

    /// The request does not say what it should.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Error::new(Class::Malformed, detail)
    }

    /// No such resource.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Error::new(Class::NotFound, detail)
    }

    /// The state does not allow it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Error::new(Class::Conflict, detail)
    }

    /// Not now; later perhaps.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Error::new(Class::Unavailable, detail)
    }

    /// The asker may not do this.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Error::new(Class::Unauthorized, detail)
    }

    /// The same error, said of one name or address (a subproblem, RFC 8555, 6.7.1).
    pub fn about(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into().into());
        self
    }

    /// The same error, with the type that the identifier was said to have, where that cannot be seen from it.
    pub fn of_type(mut self, kind: impl Into<String>) -> Self {
        self.identifier_type = Some(kind.into().into());
        self
    }

    /// The type of the identifier, where it does not follow from the identifier itself.
    pub fn identifier_type(&self) -> Option<&str> {
        self.identifier_type.as_deref()
    }

    /// The same error, with one part for each identifier that it concerns.
    pub fn with_parts(mut self, parts: Vec<Error>) -> Self {
        self.parts = parts;
        self
    }

    /// The same error, with the seconds after which the same request may succeed.
    pub fn retry_after(mut self, seconds: i64) -> Self {
        self.retry_after = Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        self
    }

    /// The seconds after which the same request may succeed, if they are known.
    pub fn wait(&self) -> Option<u32> {
        self.retry_after
    }

    /// The same error, of which the log tells already.
    pub fn told(mut self) -> Self {
        self.is_told = true;
        self
    }

    /// How loudly the log is to tell whom this error met: what makes everything fail is told of once.
    pub fn level(&self) -> log::Level {
        if self.is_told { log::Level::Debug } else { log::Level::Error }
    }

    /// The same error, with the URL of what is in the way.
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into().into());
        self
    }

    /// The URL of what is in the way, if it may be told.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The name or address that this error concerns, if it concerns one.
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_deref()
    }

    /// The errors of the single identifiers.
    pub fn parts(&self) -> &[Error] {
        &self.parts
    }

    /// Put what was being done in front of the sentence.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.detail = format!("{what}: {}", self.detail);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}
