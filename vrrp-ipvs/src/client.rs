//! The client: what can be asked of the kernel's IPVS.

use std::fmt;

use crate::error::Error;
use crate::genl::{AttrError, Attributes, Connection, Message};

/// The kernel's IPVS, in the network namespace of the thread that opened it.
///
/// It holds one socket and makes one exchange at a time, which the kernel answers within the call: no call waits.
#[derive(Debug)]
pub struct Ipvs {
    connection: Connection,
    family: u16,
}

impl Ipvs {
    /// Finds IPVS in the running kernel.
    ///
    /// A kernel that has the module `ip_vs` on disk and may run `modprobe` loads it for this, whoever asks. Finding IPVS
    /// needs no privilege; what is asked of it afterwards does.
    ///
    /// # Errors
    /// [`Error::ModuleMissing`] if the kernel has no IPVS, [`Error::Socket`] if it has no generic netlink.
    pub fn open() -> Result<Self, Error> {
        let mut connection = Connection::open().map_err(Error::Socket)?;
        let family = connection.family(FAMILY_NAME).map_err(|failure| Error::of("find IPVS", failure))?;
        Ok(Self { connection, family })
    }

    /// What the kernel says about its IPVS.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] without `CAP_NET_ADMIN`, [`Error::ModuleMissing`] if the module was unloaded since.
    pub fn info(&mut self) -> Result<Info, Error> {
        const OPERATION: &str = "ask IPVS for its version";
        let request =
            Message { family: self.family, command: CMD_GET_INFO, version: FAMILY_VERSION, attributes: Vec::new() };
        let answers = self.connection.call(request).map_err(|failure| Error::of(OPERATION, failure))?;
        let malformed = |reason: String| Error::Malformed { operation: OPERATION, reason };
        let Some(answer) = answers.iter().find(|answer| answer.command == CMD_SET_INFO) else {
            return Err(malformed("no message with the information".into()));
        };
        Info::parse(&answer.attributes).map_err(|error| malformed(error.to_string()))
    }
}

/// Answer of [`Ipvs::info`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Version of IPVS, which is not that of the kernel: `1.2.1` in Linux 6.
    pub version: Version,
    /// Hash buckets of the connection table; the table itself is not limited to them.
    pub connection_table_size: u32,
}

impl Info {
    /// From the attributes of `IPVS_CMD_SET_INFO`; what this version does not know is passed over.
    fn parse(attributes: &[u8]) -> Result<Self, AttrError> {
        let mut version = None;
        let mut connection_table_size = None;
        for attribute in Attributes::new(attributes) {
            let attribute = attribute?;
            match attribute.kind {
                INFO_VERSION => version = Some(Version::from_kernel(attribute.u32()?)),
                INFO_CONN_TAB_SIZE => connection_table_size = Some(attribute.u32()?),
                _ => {}
            }
        }
        Ok(Self {
            version: version.ok_or(AttrError::Missing { kind: INFO_VERSION })?,
            connection_table_size: connection_table_size.ok_or(AttrError::Missing { kind: INFO_CONN_TAB_SIZE })?,
        })
    }
}

/// Version of the kernel's IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Version {
    pub major: u8,
    pub minor: u8,
    pub patch: u8,
}

impl Version {
    /// From one octet each, the patch level the lowest (`linux/ip_vs.h`, `NVERSION`).
    fn from_kernel(number: u32) -> Self {
        let [_, major, minor, patch] = number.to_be_bytes();
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

// linux/ip_vs.h: the family, its commands, and the attributes of its information.
const FAMILY_NAME: &str = "IPVS";
const FAMILY_VERSION: u8 = 1;
const CMD_SET_INFO: u8 = 14;
const CMD_GET_INFO: u8 = 15;
const INFO_VERSION: u16 = 1;
const INFO_CONN_TAB_SIZE: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genl::Builder;

    /// What a kernel 6.1 answers: version 1.2.1, 4096 buckets.
    fn answer() -> Vec<u8> {
        let mut attributes = Builder::default();
        attributes.push(INFO_VERSION, &0x01_02_01_u32.to_ne_bytes()).unwrap();
        attributes.push(INFO_CONN_TAB_SIZE, &4096_u32.to_ne_bytes()).unwrap();
        attributes.into_bytes()
    }

    #[test]
    fn info_is_version_and_table_size() {
        let info = Info::parse(&answer()).unwrap();
        assert_eq!(info.version.to_string(), "1.2.1");
        assert_eq!(info.connection_table_size, 4096);
    }

    #[test]
    fn an_unknown_attribute_does_not_lose_the_answer() {
        let mut attributes = Builder::default();
        attributes.push(900, b"from a later kernel").unwrap();
        let mut bytes = attributes.into_bytes();
        bytes.extend(answer());
        assert_eq!(Info::parse(&bytes), Info::parse(&answer()));
    }

    #[test]
    fn an_answer_cut_short_is_an_error_at_every_length() {
        let whole = answer();
        for length in 0..whole.len() {
            assert!(Info::parse(&whole[..length]).is_err(), "{length} of {} octets", whole.len());
        }
    }

    #[test]
    fn an_answer_without_the_version_names_the_attribute() {
        let mut attributes = Builder::default();
        attributes.push(INFO_CONN_TAB_SIZE, &4096_u32.to_ne_bytes()).unwrap();
        assert_eq!(Info::parse(&attributes.into_bytes()), Err(AttrError::Missing { kind: INFO_VERSION }));
    }

    #[test]
    fn a_client_can_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Ipvs>();
        is_send::<Error>();
    }
}
