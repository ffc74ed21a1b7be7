//! Simple-text authentication of VRRPv2 (RFC 2338 §5.3.6, §5.3.10): what keepalived calls `auth_type PASS`.

use core::fmt;

use super::AUTH_LEN;

/// A password of 1 to 8 octets, filled up with zeros (RFC 2338 §5.3.10).
///
/// It crosses the network in clear: it keeps strangers' misconfigured routers out, not attackers. Comparing two takes
/// the same time wherever they differ, and `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct Password([u8; AUTH_LEN]);

/// A password that VRRPv2 cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// No octet, which would be no password.
    #[error("the password is empty: give 1 to 8 octets, or use no authentication")]
    Empty,
    /// More octets than the field has; the length.
    #[error(
        "the password has {0} octets, VRRPv2 carries 8: use its first 8 octets, as keepalived does, or another one"
    )]
    TooLong(usize),
}

impl Password {
    /// This password.
    ///
    /// # Errors
    /// [`PasswordError`] unless it has 1 to 8 octets.
    pub fn new(password: impl AsRef<[u8]>) -> Result<Self, PasswordError> {
        match password.as_ref() {
            octets if octets.len() > AUTH_LEN => Err(PasswordError::TooLong(octets.len())),
            octets => Self::truncated(octets),
        }
    }

    /// The first 8 octets of this password: what keepalived makes of a longer one. For a migration from it.
    ///
    /// # Errors
    /// [`PasswordError::Empty`].
    pub fn truncated(password: impl AsRef<[u8]>) -> Result<Self, PasswordError> {
        let password = password.as_ref();
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        let mut field = [0; AUTH_LEN];
        for (to, from) in field.iter_mut().zip(password) {
            *to = *from;
        }
        Ok(Self(field))
    }
}

/// All 8 octets, as one word: in constant time.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        u64::from_ne_bytes(self.0) == u64::from_ne_bytes(other.0)
    }
}

impl Eq for Password {}

/// Without the password.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// How the advertisements of a VRRPv2 router are authenticated. VRRPv3 has no such field (RFC 9568 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Authentication {
    /// Type 0: not at all, the only type that RFC 3768 §5.3.6 leaves in force.
    #[default]
    None,
    /// Type 1: simple text password (RFC 2338 §5.3.6.2).
    SimpleText(Password),
}

impl Authentication {
    /// The type in the packet: 0 or 1.
    pub const fn auth_type(self) -> u8 {
        match self {
            Self::None => 0,
            Self::SimpleText(_) => 1,
        }
    }

    /// The authentication data in the packet: zeros if there is none (RFC 3768 §5.3.10).
    pub(super) const fn data(self) -> [u8; AUTH_LEN] {
        match self {
            Self::None => [0; AUTH_LEN],
            Self::SimpleText(Password(field)) => field,
        }
    }

    /// Whether a packet of the same type with this data passes. Data of type 0 is not looked at (RFC 3768 §5.3.10).
    pub(super) fn verifies(self, data: [u8; AUTH_LEN]) -> bool {
        match self {
            Self::None => true,
            Self::SimpleText(password) => password == Password(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(text: &str) -> Authentication {
        Authentication::SimpleText(Password::new(text).unwrap())
    }

    #[test]
    fn au_01_a_password_is_filled_up_with_zeros() {
        assert_eq!(simple("1234").data(), [0x31, 0x32, 0x33, 0x34, 0, 0, 0, 0]);
        assert_eq!(simple("secret12").data(), *b"secret12");
        assert_eq!((Authentication::None.auth_type(), simple("x").auth_type()), (0, 1));
    }

    #[test]
    fn au_02_all_eight_octets_are_compared() {
        assert!(simple("1234").verifies(*b"1234\0\0\0\0"));
        assert!(!simple("1234").verifies(*b"1234\0\0\0x"));
        assert!(!simple("1234").verifies(*b"0234\0\0\0\0"));
        assert!(!simple("1234").verifies([0; 8]));
        for n in 0..8 {
            let mut data = *b"secret12";
            data[n] ^= 1;
            assert!(!simple("secret12").verifies(data), "octet {n}");
        }
    }

    #[test]
    fn au_05_a_password_past_8_octets_is_refused_with_the_way_out() {
        assert_eq!(Password::new("secret1234567"), Err(PasswordError::TooLong(13)));
        assert_eq!(
            PasswordError::TooLong(13).to_string(),
            "the password has 13 octets, VRRPv2 carries 8: use its first 8 octets, as keepalived does, or another one"
        );
        assert_eq!(Password::truncated("secret1234567"), Password::new("secret12"));
        assert_eq!(Password::truncated("1234"), Password::new(b"1234"));
    }

    #[test]
    fn an_empty_password_is_refused() {
        assert_eq!(Password::new(""), Err(PasswordError::Empty));
        assert_eq!(Password::truncated(""), Err(PasswordError::Empty));
    }

    #[test]
    fn tx_10_no_authentication_sends_zeros_and_looks_at_nothing() {
        assert_eq!(Authentication::default(), Authentication::None);
        assert_eq!(Authentication::None.data(), [0; 8]);
        assert!(Authentication::None.verifies(*b"whatever"));
    }

    #[test]
    fn debug_does_not_show_the_password() {
        assert_eq!(format!("{:?}", simple("secret12")), "SimpleText(Password(..))");
    }
}
