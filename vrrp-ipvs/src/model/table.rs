//! What the kernel is to have.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Destination, DestinationId, ModelError, Service, ServiceId};

/// A service and its destinations, as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct VirtualServer {
    /// The service.
    pub service: Service,
    /// Its destinations. Without one, the kernel refuses the service's clients.
    #[cfg_attr(feature = "serde", serde(default))]
    pub destinations: Vec<Destination>,
}

/// Virtual servers as wanted, all of which a kernel can hold, none of them twice.
///
/// Its services are in the order of their ids, so that equal tables make equal plans. It is written out as the list of
/// its virtual servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Vec<VirtualServer>", into = "Vec<VirtualServer>")
)]
pub struct Table {
    services: BTreeMap<ServiceId, Wanted>,
}

/// A service of a table; its destinations in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) service: Service,
    pub(crate) destinations: BTreeMap<DestinationId, Destination>,
}

impl Table {
    /// A table of these virtual servers.
    ///
    /// # Errors
    /// [`ModelError`] with the first of them that is not possible, or is there twice.
    pub fn new(servers: impl IntoIterator<Item = VirtualServer>) -> Result<Self, ModelError> {
        let mut table = Self::default();
        for server in servers {
            table.insert(server)?;
        }
        Ok(table)
    }

    /// Adds a virtual server.
    ///
    /// # Errors
    /// [`ModelError`] if it is not possible, or is there already; the table is then as it was.
    pub fn insert(&mut self, server: VirtualServer) -> Result<(), ModelError> {
        let VirtualServer { service, destinations } = server;
        service.validate()?;
        let service = service.canonical();
        let Entry::Vacant(place) = self.services.entry(service.id) else {
            return Err(ModelError::DuplicateService(service.id));
        };
        let mut wanted = BTreeMap::new();
        for destination in destinations {
            destination.validate(service.id)?;
            if wanted.insert(destination.id, destination.canonical()).is_some() {
                return Err(ModelError::DuplicateDestination { service: service.id, destination: destination.id });
            }
        }
        place.insert(Wanted { service, destinations: wanted });
        Ok(())
    }

    /// Takes a virtual server out, if it is there.
    pub fn remove(&mut self, id: ServiceId) -> Option<VirtualServer> {
        self.services.remove(&id.canonical()).map(VirtualServer::from)
    }

    /// Whether a service is in it.
    pub fn contains(&self, id: ServiceId) -> bool {
        self.get(id).is_some()
    }

    /// Ids of its services, in order.
    pub fn ids(&self) -> impl Iterator<Item = ServiceId> + '_ {
        self.services.keys().copied()
    }

    /// How many services it has.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether it has no service.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    pub(crate) fn get(&self, id: ServiceId) -> Option<&Wanted> {
        self.services.get(&id.canonical())
    }

    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.services.values()
    }
}

impl From<Wanted> for VirtualServer {
    fn from(wanted: Wanted) -> Self {
        Self { service: wanted.service, destinations: wanted.destinations.into_values().collect() }
    }
}

impl TryFrom<Vec<VirtualServer>> for Table {
    type Error = ModelError;

    fn try_from(servers: Vec<VirtualServer>) -> Result<Self, ModelError> {
        Self::new(servers)
    }
}

impl From<Table> for Vec<VirtualServer> {
    fn from(table: Table) -> Self {
        table.services.into_values().map(VirtualServer::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16, destinations: &[&str]) -> VirtualServer {
        let destination = |text: &&str| Destination::new(text.parse::<std::net::SocketAddr>().unwrap().into());
        VirtualServer {
            service: Service::new(ServiceId::tcp("192.0.2.1".parse().unwrap(), port)),
            destinations: destinations.iter().map(destination).collect(),
        }
    }

    #[test]
    fn nothing_is_in_a_table_twice() {
        let error = Table::new([server(80, &[]), server(81, &[]), server(80, &[])]).unwrap_err();
        assert_eq!(error.to_string(), "TCP 192.0.2.1:80 is in the table twice");
        let error = Table::new([server(80, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"])]).unwrap_err();
        assert_eq!(error.to_string(), "TCP 192.0.2.1:80: 10.0.0.1:80 is in its destinations twice");
    }

    #[test]
    fn a_refused_server_leaves_the_table_as_it_was() {
        let mut table = Table::new([server(80, &["10.0.0.1:80"])]).unwrap();
        let before = table.clone();
        assert!(table.insert(server(81, &["[2001:db8::1]:80"])).is_err());
        assert!(table.insert(server(80, &[])).is_err());
        assert_eq!(table, before);
    }

    #[test]
    fn the_order_of_a_list_does_not_matter() {
        let one = Table::new([server(80, &["10.0.0.1:80", "10.0.0.2:80"]), server(81, &[])]).unwrap();
        let other = Table::new([server(81, &[]), server(80, &["10.0.0.2:80", "10.0.0.1:80"])]).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.ids().collect::<Vec<_>>(), [server(80, &[]).service.id, server(81, &[]).service.id]);
    }
}
