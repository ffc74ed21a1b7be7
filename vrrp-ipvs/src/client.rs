//! The client: what can be asked of the kernel's IPVS.

use std::fmt;
use std::io;

use crate::error::{EEXIST, ENOENT, ESRCH, Error};
use crate::genl::header::{FAMILY_NAME, FAMILY_VERSION, command, info};
use crate::genl::{self, AttrError, Attributes, Builder, Connection, Exchange, Message, decode, encode};
use crate::model::{
    Destination, DestinationId, DestinationStatus, Service, ServiceId, ServiceStatus, SyncDaemon, SyncState, Timeouts,
};

/// The kernel's IPVS, in the network namespace of the thread that opened it.
///
/// It holds one socket and makes one exchange at a time, which the kernel answers within the call: no call waits for
/// another program or the network. All but [`open`](Self::open) need `CAP_NET_ADMIN`.
///
/// If the module `ip_vs` is unloaded and loaded again meanwhile, the client finds it again by itself; the table is empty
/// then.
///
/// # Errors
/// Every call can fail with [`Error::NotPermitted`], with [`Error::ModuleMissing`] if the module was unloaded since, with
/// [`Error::Kernel`] for what has no error of its own, and with [`Error::Malformed`].
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
        let family = find_family(&mut connection)?;
        Ok(Self { connection, family })
    }

    /// What the kernel says about its IPVS (`IPVS_CMD_GET_INFO`).
    pub fn info(&mut self) -> Result<Info, Error> {
        const OPERATION: &str = "ask IPVS for its version";
        let answers = self.ask(OPERATION, Exchange::Call, command::GET_INFO, Builder::default())?;
        let Some(answer) = answers.iter().find(|answer| answer.command == command::SET_INFO) else {
            return Err(Error::Malformed { operation: OPERATION.into(), reason: "no message with it".into() });
        };
        Info::parse(&answer.attributes).map_err(|error| malformed(OPERATION, error))
    }

    /// Every service of the kernel's table, with its destinations (`IPVS_CMD_GET_SERVICE`, `IPVS_CMD_GET_DEST`).
    ///
    /// The kernel gives the list of services at once and then the destinations of each: what another program changes
    /// meanwhile may be in it or not.
    pub fn services(&mut self) -> Result<Vec<ServiceStatus>, Error> {
        let mut services = self.service_list()?;
        for status in &mut services {
            status.destinations = self.destinations(status.service.id)?;
        }
        Ok(services)
    }

    /// Every service of the kernel's table, without its destinations: a single exchange with the kernel
    /// (`IPVS_CMD_GET_SERVICE`). Those of each are what [`destinations`](Self::destinations) gives.
    pub fn service_list(&mut self) -> Result<Vec<ServiceStatus>, Error> {
        const OPERATION: &str = "list the services";
        let answers = self.ask(OPERATION, Exchange::Dump, command::GET_SERVICE, Builder::default())?;
        let read = |answer: &Message| decode::service(&answer.attributes);
        answers.iter().map(read).collect::<Result<_, _>>().map_err(|error| malformed(OPERATION, error))
    }

    /// One service with its destinations; `None` if it is not there.
    pub fn service(&mut self, id: ServiceId) -> Result<Option<ServiceStatus>, Error> {
        let operation = format!("look up {id}");
        let mut request = Builder::default();
        encode::push_service_id(&mut request, &id).map_err(|error| malformed(&operation, error))?;
        let answers = match self.exchange(Exchange::Call, command::GET_SERVICE, request) {
            Err(failure) if failure.number() == Some(ESRCH) => return Ok(None),
            other => other.map_err(|failure| failure.of(&operation))?,
        };
        let Some(answer) = answers.first() else { return Ok(None) };
        let mut status = decode::service(&answer.attributes).map_err(|error| malformed(&operation, error))?;
        status.destinations = self.destinations(id)?;
        Ok(Some(status))
    }

    /// The destinations of a service; none if it is not there.
    pub fn destinations(&mut self, service: ServiceId) -> Result<Vec<DestinationStatus>, Error> {
        const OPERATION: &str = "list the destinations of a service";
        let mut request = Builder::default();
        encode::push_service_id(&mut request, &service).map_err(|error| malformed(OPERATION, error))?;
        let answers = self.ask(OPERATION, Exchange::Dump, command::GET_DEST, request)?;
        answers
            .iter()
            .map(|answer| decode::destination(&answer.attributes, service.family()))
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(OPERATION, error))
    }

    /// Adds a service (`IPVS_CMD_NEW_SERVICE`).
    ///
    /// # Errors
    /// [`Error::ServiceExists`], [`Error::SchedulerMissing`], [`Error::Invalid`].
    pub fn add_service(&mut self, service: &Service) -> Result<(), Error> {
        self.put_service("add", command::NEW_SERVICE, service)
    }

    /// Changes everything of a service but its id (`IPVS_CMD_SET_SERVICE`). Its connections stay.
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::SchedulerMissing`], [`Error::Invalid`].
    pub fn set_service(&mut self, service: &Service) -> Result<(), Error> {
        self.put_service("set", command::SET_SERVICE, service)
    }

    /// Removes a service with its destinations (`IPVS_CMD_DEL_SERVICE`). Packets of its connections are dropped from then
    /// on.
    ///
    /// # Errors
    /// [`Error::NoService`].
    pub fn remove_service(&mut self, id: ServiceId) -> Result<(), Error> {
        self.tell(
            command::DEL_SERVICE,
            |request| encode::push_service_id(request, &id),
            || format!("remove {id}"),
            |number| (number == ESRCH).then_some(Error::NoService { service: id }),
        )
    }

    /// Adds a destination to a service (`IPVS_CMD_NEW_DEST`).
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::DestinationExists`], [`Error::Invalid`].
    pub fn add_destination(&mut self, service: ServiceId, destination: &Destination) -> Result<(), Error> {
        self.put_destination("add", command::NEW_DEST, service, destination)
    }

    /// Changes everything of a destination but its id (`IPVS_CMD_SET_DEST`). Its connections stay.
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::NoDestination`], [`Error::Invalid`].
    pub fn set_destination(&mut self, service: ServiceId, destination: &Destination) -> Result<(), Error> {
        self.put_destination("set", command::SET_DEST, service, destination)
    }

    /// Removes a destination from a service (`IPVS_CMD_DEL_DEST`). Packets of its connections are dropped from then on.
    ///
    /// # Errors
    /// [`Error::NoService`], [`Error::NoDestination`].
    pub fn remove_destination(&mut self, service: ServiceId, destination: DestinationId) -> Result<(), Error> {
        self.tell(
            command::DEL_DEST,
            |request| {
                encode::push_service_id(request, &service)?;
                encode::push_destination_id(request, destination)
            },
            || format!("remove destination {destination} of {service}"),
            |number| destination_error(number, service, destination),
        )
    }

    /// Sets the statistics of a service and its destinations to zero (`IPVS_CMD_ZERO`).
    ///
    /// # Errors
    /// [`Error::NoService`].
    pub fn zero(&mut self, id: ServiceId) -> Result<(), Error> {
        self.tell(
            command::ZERO,
            |request| encode::push_service_id(request, &id),
            || format!("zero the statistics of {id}"),
            |number| (number == ESRCH).then_some(Error::NoService { service: id }),
        )
    }

    /// Sets every statistic to zero, also of services of other programs.
    pub fn zero_all(&mut self) -> Result<(), Error> {
        self.tell(command::ZERO, |_| Ok(()), || "zero all statistics".into(), |_| None)
    }

    /// Removes every service, also those of other programs (`IPVS_CMD_FLUSH`). [`plan`](crate::plan()) never asks for it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.tell(command::FLUSH, |_| Ok(()), || "remove all services".into(), |_| None)
    }

    /// How long silent connections are kept (`IPVS_CMD_GET_CONFIG`).
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        const OPERATION: &str = "ask for the timeouts";
        let answers = self.ask(OPERATION, Exchange::Call, command::GET_CONFIG, Builder::default())?;
        let attributes = answers.first().map_or(&[][..], |answer| &answer.attributes);
        decode::timeouts(attributes).map_err(|error| malformed(OPERATION, error))
    }

    /// Changes how long silent connections are kept, from their next packet on (`IPVS_CMD_SET_CONFIG`); 0 leaves one as
    /// it is.
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error> {
        self.tell(
            command::SET_CONFIG,
            |request| encode::push_timeouts(request, timeouts),
            || format!("set the timeouts to {timeouts:?}"),
            |_| None,
        )
    }

    /// The synchronisation daemons that run, at most one of each state (`IPVS_CMD_GET_DAEMON`).
    pub fn daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        const OPERATION: &str = "list the synchronisation daemons";
        let answers = self.ask(OPERATION, Exchange::Dump, command::GET_DAEMON, Builder::default())?;
        answers
            .iter()
            .map(|answer| decode::daemon(&answer.attributes))
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(OPERATION, error))
    }

    /// Starts a synchronisation daemon (`IPVS_CMD_NEW_DAEMON`).
    ///
    /// # Errors
    /// [`Error::DaemonRuns`]; [`Error::Kernel`] with `No such device` if there is no such interface.
    pub fn start_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), Error> {
        self.tell(
            command::NEW_DAEMON,
            |request| encode::push_daemon(request, daemon),
            || format!("start a synchronisation daemon of state {:?} on {:?}", daemon.state, daemon.interface),
            |number| (number == EEXIST).then_some(Error::DaemonRuns(daemon.state)),
        )
    }

    /// Stops a synchronisation daemon (`IPVS_CMD_DEL_DAEMON`).
    ///
    /// # Errors
    /// [`Error::DaemonDoesNotRun`].
    pub fn stop_daemon(&mut self, state: SyncState) -> Result<(), Error> {
        let stopped = self.tell(
            command::DEL_DAEMON,
            |request| encode::push_daemon_state(request, state),
            || format!("stop the synchronisation daemon of state {state:?}"),
            |number| (number == ESRCH).then_some(Error::DaemonDoesNotRun(state)),
        );
        match stopped {
            // A thread that is stopped before it first ran ends with EINTR inside the kernel, and netlink acknowledges
            // nothing that ends so: what became of it shows in the list.
            Err(Error::Kernel { error, .. })
                if error.kind() == io::ErrorKind::WouldBlock
                    && self.daemons()?.iter().all(|daemon| daemon.state != state) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn put_service(&mut self, verb: &str, command: u8, service: &Service) -> Result<(), Error> {
        service.validate()?;
        self.tell(
            command,
            |request| encode::push_service(request, service),
            || format!("{verb} {}", service.id),
            |number| match number {
                EEXIST => Some(Error::ServiceExists { service: service.id }),
                ESRCH => Some(Error::NoService { service: service.id }),
                ENOENT => Some(Error::SchedulerMissing {
                    service: service.id,
                    scheduler: service.scheduler.clone(),
                    engine: service.engine.clone(),
                }),
                _ => None,
            },
        )
    }

    fn put_destination(
        &mut self,
        verb: &str,
        command: u8,
        service: ServiceId,
        destination: &Destination,
    ) -> Result<(), Error> {
        destination.validate(service)?;
        self.tell(
            command,
            |request| {
                encode::push_service_id(request, &service)?;
                encode::push_destination(request, destination)
            },
            || format!("{verb} destination {} of {service}", destination.id),
            |number| destination_error(number, service, destination.id),
        )
    }

    /// A request that is only acknowledged. `known` gives the error of a number that has one of its own.
    fn tell(
        &mut self,
        command: u8,
        write: impl FnOnce(&mut Builder) -> Result<(), AttrError>,
        operation: impl Fn() -> String,
        known: impl FnOnce(i32) -> Option<Error>,
    ) -> Result<(), Error> {
        let mut request = Builder::default();
        write(&mut request).map_err(|error| Error::Kernel {
            operation: operation(),
            error: io::Error::new(io::ErrorKind::InvalidInput, error.to_string()),
        })?;
        match self.exchange(Exchange::Call, command, request) {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.number().and_then(known).unwrap_or_else(|| failure.of(&operation()))),
        }
    }

    /// A request for an answer.
    fn ask(
        &mut self,
        operation: &str,
        exchange: Exchange,
        command: u8,
        attributes: Builder,
    ) -> Result<Vec<Message>, Error> {
        self.exchange(exchange, command, attributes).map_err(|failure| failure.of(operation))
    }

    fn exchange(&mut self, exchange: Exchange, command: u8, attributes: Builder) -> Result<Vec<Message>, Failure> {
        let mut request =
            Message { family: self.family, command, version: FAMILY_VERSION, attributes: attributes.into_bytes() };
        match self.connection.exchange(exchange, &request) {
            // The kernel says the same of what is not in its table and of a family that is not there: ask for that one.
            Err(genl::Error::Io(error)) if error.raw_os_error() == Some(ENOENT) => {
                let family = find_family(&mut self.connection).map_err(Failure::Whole)?;
                if family == self.family {
                    return Err(Failure::Exchange(genl::Error::Io(error)));
                }
                (self.family, request.family) = (family, family);
                self.connection.exchange(exchange, &request).map_err(Failure::Exchange)
            }
            other => other.map_err(Failure::Exchange),
        }
    }
}

/// Why an exchange failed, before it is known what it was for.
enum Failure {
    Exchange(genl::Error),
    Whole(Error),
}

impl Failure {
    /// The kernel's number, if it is one.
    fn number(&self) -> Option<i32> {
        match self {
            Self::Exchange(genl::Error::Io(error)) => error.raw_os_error(),
            Self::Exchange(genl::Error::Malformed(_)) | Self::Whole(_) => None,
        }
    }

    fn of(self, operation: &str) -> Error {
        match self {
            Self::Exchange(failure) => Error::of(operation, failure),
            Self::Whole(error) => error,
        }
    }
}

fn find_family(connection: &mut Connection) -> Result<u16, Error> {
    connection.family(FAMILY_NAME).map_err(|failure| match failure {
        genl::Error::Io(error) if error.raw_os_error() == Some(ENOENT) => Error::ModuleMissing,
        failure => Error::of("find IPVS", failure),
    })
}

fn malformed(operation: &str, error: AttrError) -> Error {
    Error::Malformed { operation: operation.into(), reason: error.to_string() }
}

fn destination_error(number: i32, service: ServiceId, destination: DestinationId) -> Option<Error> {
    match number {
        ESRCH => Some(Error::NoService { service }),
        ENOENT => Some(Error::NoDestination { service, destination }),
        EEXIST => Some(Error::DestinationExists { service, destination }),
        _ => None,
    }
}

/// Answer of [`Ipvs::info`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Info {
    /// Version of IPVS, which is not that of the kernel: `1.2.1` in Linux 6.
    pub version: Version,
    /// Hash buckets of the connection table; the table itself is not limited to them.
    pub connection_table_size: u32,
}

impl Info {
    /// From the attributes of `IPVS_CMD_SET_INFO`; what this version does not know is passed over.
    pub(crate) fn parse(attributes: &[u8]) -> Result<Self, AttrError> {
        let mut version = None;
        let mut connection_table_size = None;
        for attribute in Attributes::new(attributes) {
            let attribute = attribute?;
            match attribute.kind {
                info::VERSION => version = Some(Version::from_kernel(attribute.u32()?)),
                info::CONN_TAB_SIZE => connection_table_size = Some(attribute.u32()?),
                _ => {}
            }
        }
        Ok(Self {
            version: version.ok_or(AttrError::Missing { kind: info::VERSION })?,
            connection_table_size: connection_table_size.ok_or(AttrError::Missing { kind: info::CONN_TAB_SIZE })?,
        })
    }
}

/// Version of the kernel's IPVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel 6.1 answers: version 1.2.1, 4096 buckets.
    fn answer() -> Vec<u8> {
        let mut attributes = Builder::default();
        attributes.push(info::VERSION, &0x01_02_01_u32.to_ne_bytes()).unwrap();
        attributes.push(info::CONN_TAB_SIZE, &4096_u32.to_ne_bytes()).unwrap();
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
        attributes.push(info::CONN_TAB_SIZE, &4096_u32.to_ne_bytes()).unwrap();
        assert_eq!(Info::parse(&attributes.into_bytes()), Err(AttrError::Missing { kind: info::VERSION }));
    }

    #[test]
    fn a_client_can_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Ipvs>();
        is_send::<Error>();
    }
}
