//! Names of the kernel's modules for scheduling and persistence.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::ModelError;

/// How a service chooses a destination for a new connection: the name of a scheduler of the kernel.
///
/// Each is a module `ip_vs_` and the name, which the kernel loads by itself where it may run `modprobe`. A name that is
/// not among the constants is passed on as well: kernels get new schedulers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Scheduler(Cow<'static, str>);

impl Scheduler {
    /// Round robin: each in its turn. The default.
    #[doc(alias = "rr")]
    pub const ROUND_ROBIN: Self = Self(Cow::Borrowed("rr"));
    /// Weighted round robin: as many turns as its weight says.
    #[doc(alias = "wrr")]
    pub const WEIGHTED_ROUND_ROBIN: Self = Self(Cow::Borrowed("wrr"));
    /// The destination with the fewest connections.
    #[doc(alias = "lc")]
    pub const LEAST_CONNECTION: Self = Self(Cow::Borrowed("lc"));
    /// The destination with the fewest connections for its weight.
    #[doc(alias = "wlc")]
    pub const WEIGHTED_LEAST_CONNECTION: Self = Self(Cow::Borrowed("wlc"));
    /// For caches: one destination per requested address, another when it is overloaded.
    #[doc(alias = "lblc")]
    pub const LOCALITY_BASED_LEAST_CONNECTION: Self = Self(Cow::Borrowed("lblc"));
    /// As the former, with a set of destinations per requested address.
    #[doc(alias = "lblcr")]
    pub const LOCALITY_BASED_LEAST_CONNECTION_REPLICATED: Self = Self(Cow::Borrowed("lblcr"));
    /// By a hash of the requested address.
    #[doc(alias = "dh")]
    pub const DESTINATION_HASH: Self = Self(Cow::Borrowed("dh"));
    /// By a hash of the client's address.
    #[doc(alias = "sh")]
    pub const SOURCE_HASH: Self = Self(Cow::Borrowed("sh"));
    /// By a hash of the client's address (Maglev) that moves few clients when the destinations change.
    #[doc(alias = "mh")]
    pub const MAGLEV_HASH: Self = Self(Cow::Borrowed("mh"));
    /// The shortest expected delay.
    #[doc(alias = "sed")]
    pub const SHORTEST_EXPECTED_DELAY: Self = Self(Cow::Borrowed("sed"));
    /// An idle destination if there is one, else the shortest expected delay.
    #[doc(alias = "nq")]
    pub const NEVER_QUEUE: Self = Self(Cow::Borrowed("nq"));
    /// The destination with the highest weight.
    #[doc(alias = "fo")]
    pub const WEIGHTED_FAILOVER: Self = Self(Cow::Borrowed("fo"));
    /// The destination with the highest weight until it has that many connections, then the next.
    #[doc(alias = "ovf")]
    pub const WEIGHTED_OVERFLOW: Self = Self(Cow::Borrowed("ovf"));
    /// The better of two that are drawn at random by weight (Linux 6.12 and later).
    #[doc(alias = "twos")]
    pub const WEIGHTED_RANDOM_TWOS: Self = Self(Cow::Borrowed("twos"));

    /// The scheduler of this name.
    ///
    /// # Errors
    /// [`ModelError::Name`] if the kernel has no room for it: it is not 1 to 15 octets of printable ASCII without spaces.
    pub fn new(name: impl Into<String>) -> Result<Self, ModelError> {
        checked("scheduler", name.into()).map(Self)
    }

    /// Its name in the kernel, such as `rr`.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::ROUND_ROBIN
    }
}

/// What else than the client's address makes two connections belong together: a persistence engine of the kernel.
///
/// It is a module `ip_vs_pe_` and the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct PersistenceEngine(Cow<'static, str>);

impl PersistenceEngine {
    /// The Call-ID of SIP over UDP.
    pub const SIP: Self = Self(Cow::Borrowed("sip"));

    /// The persistence engine of this name.
    ///
    /// # Errors
    /// As [`Scheduler::new`].
    pub fn new(name: impl Into<String>) -> Result<Self, ModelError> {
        checked("persistence engine", name.into()).map(Self)
    }

    /// Its name in the kernel, such as `sip`.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A name that fits `char[16]` with its NUL and prints as one word.
fn checked(kind: &'static str, name: String) -> Result<Cow<'static, str>, ModelError> {
    if (1..=15).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic()) {
        Ok(Cow::Owned(name))
    } else {
        Err(ModelError::Name { kind, name })
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ModelError;

            fn from_str(name: &str) -> Result<Self, ModelError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ModelError;

            fn try_from(name: String) -> Result<Self, ModelError> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_owned()
            }
        }
    )*};
}

as_text!(Scheduler PersistenceEngine);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_up_to_fifteen_octets_of_one_word() {
        assert_eq!(Scheduler::new("rr"), Ok(Scheduler::ROUND_ROBIN));
        assert_eq!("sip".parse(), Ok(PersistenceEngine::SIP));
        assert_eq!(Scheduler::new("fifteen-octets!").unwrap().name(), "fifteen-octets!");
        for wrong in ["", "sixteen-octets!!", "r r", "r\0", "ré"] {
            let error = Scheduler::new(wrong).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{wrong:?} is no name of a scheduler")), "{error}");
        }
    }
}
