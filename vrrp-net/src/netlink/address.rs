//! Addresses of interfaces: exactly as asked for, with a lifetime and a mark of whose they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use vrrp_core::{Family, IfIndex, VirtualAddr};

use super::address_parts::{Broadcast, Label, Preferred, Scope};
use super::attribute::{Attributes, Message, Writer, u32_at};
use super::path::{HostChange, Outcome};
use super::{Answer, Netlink};
use crate::error::Error;
use crate::sys;

/// An address to be on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRequest {
    /// The interface.
    pub interface: IfIndex,
    /// The address and its prefix length; with a [`peer`](Self::peer) that is the length of the peer's prefix.
    pub address: VirtualAddr,
    /// Seconds until the kernel removes it, at least 1; `None`: never.
    ///
    /// The kernel is up to about 2 s late with IPv4: it rounds to its own check interval. Setting the address again
    /// restarts the time.
    pub lifetime: Option<u32>,
    /// For how long the kernel may take it as the source of new connections.
    pub preferred: Preferred,
    /// The mark that later tells whose address it is (`IFA_PROTO`): 1 to 3 are the kernel's own. Kernels before 5.18
    /// ignore it, see [`Netlink::keeps_address_marks`].
    pub protocol: Option<u8>,
    /// Whether the kernel shall add a route to the prefix over this interface, and remove it with the last address that
    /// has one.
    pub prefix_route: bool,
    /// The metric of that route (`IFA_RT_PRIORITY`); `None`: the kernel's default. Since Linux 4.18.
    pub metric: Option<u32>,
    /// How far the address is valid, IPv4 only; `None`: as the address itself says.
    pub scope: Option<Scope>,
    /// The name that older tools show it by, IPv4 only; `None`: the interface's name.
    pub label: Option<Label>,
    /// The broadcast address of its network, IPv4 only.
    pub broadcast: Broadcast,
    /// The address at the other end of a point-to-point link, of the same family.
    pub peer: Option<IpAddr>,
}

impl AddressRequest {
    /// `address` on `interface`: for ever, unmarked, with its route, usable as a source.
    pub const fn new(interface: IfIndex, address: VirtualAddr) -> Self {
        Self {
            interface,
            address,
            lifetime: None,
            preferred: Preferred::WhileValid,
            protocol: None,
            prefix_route: true,
            metric: None,
            scope: None,
            label: None,
            broadcast: Broadcast::None,
            peer: None,
        }
    }

    /// What removes this address again.
    pub const fn removal(&self) -> AddressChange {
        let Self { interface, address, peer, .. } = *self;
        match peer {
            Some(peer) => AddressChange::RemovePeer { interface, address, peer },
            None => AddressChange::Remove { interface, address },
        }
    }

    /// Whether it can be asked for. The kernel passes over what a family does not have, so it would not be there as
    /// configured.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |problem: &str| Err(Error::BadAddress { address: self.address, problem: problem.to_owned() });
        if self.peer.is_some_and(|peer| Family::of(peer) != self.address.family()) {
            return refuse("its peer is of the other family");
        }
        match self.address.family() {
            Family::V4 => Ok(()),
            Family::V6 if self.broadcast.address(self.address).is_some() => refuse("IPv6 has no broadcast address"),
            Family::V6 if self.label.is_some() => refuse("IPv6 addresses have no label"),
            Family::V6 if self.scope.is_some() => refuse("an IPv6 address itself says its scope"),
            Family::V6 => Ok(()),
        }
    }
}

/// A change of the addresses of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressChange {
    /// Add the address, or if it is there set its lifetime, mark and metric anew; what else is asked for the kernel only
    /// takes when it adds ([`reconcile`](super::reconcile) knows). IPv6 duplicate address detection is skipped: the
    /// election has settled whose it is.
    Set(AddressRequest),
    /// Remove the address. If it is not there, or its interface is not, that is a success.
    ///
    /// With an IPv4 address the kernel may remove others, see [`lost_with`](super::lost_with).
    Remove {
        /// The interface.
        interface: IfIndex,
        /// The address, with the prefix length it was added with.
        address: VirtualAddr,
    },
    /// Remove an address that has a peer.
    RemovePeer {
        /// The interface.
        interface: IfIndex,
        /// The address, with the prefix length it was added with.
        address: VirtualAddr,
        /// The address at the other end.
        peer: IpAddr,
    },
}

/// An address as the kernel has it on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The interface.
    pub interface: IfIndex,
    /// The address.
    pub address: IpAddr,
    /// Bits of its prefix.
    pub prefix_len: u8,
    /// The address at the other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// The mark of whose it is (`IFA_PROTO`); `None` if unmarked, or before Linux 5.18.
    pub protocol: Option<u8>,
    /// Seconds until the kernel removes it; `None`: never.
    pub lifetime: Option<u32>,
    /// Seconds until it is deprecated; `None`: never.
    pub preferred: Option<u32>,
    /// How far it is valid.
    pub scope: Scope,
    /// IPv4: the broadcast address of its network.
    pub broadcast: Option<Ipv4Addr>,
    /// Whether the kernel adds a route to its prefix.
    pub prefix_route: bool,
    /// The metric of that route; `None`: the kernel's default.
    pub metric: Option<u32>,
    /// IPv4: another address of the same prefix came first, and its deletion may take this one along.
    pub secondary: bool,
    /// IPv6: duplicate address detection is not through; it cannot be used yet.
    pub tentative: bool,
    /// IPv6: another host has it; it cannot be used.
    pub duplicate: bool,
    /// Whether the kernel avoids it as the source of new connections.
    pub deprecated: bool,
    /// IPv4: its label, which is the interface's name unless someone gave it another.
    pub label: Option<String>,
}

impl InterfaceAddress {
    /// Whether programs can use it: duplicate address detection, if there is any, is through.
    pub const fn is_usable(&self) -> bool {
        !self.tentative && !self.duplicate
    }

    /// What would put it back as it is. `None` for one that no host can hold in an election, such as loopback's own.
    pub fn request(&self) -> Option<AddressRequest> {
        let v4 = self.address.is_ipv4();
        Some(AddressRequest {
            interface: self.interface,
            address: VirtualAddr::new(self.address, self.prefix_len).ok()?,
            // At its last moment the kernel says 0.
            lifetime: self.lifetime.map(|seconds| seconds.max(1)),
            preferred: match (self.deprecated, self.preferred) {
                (true, _) => Preferred::Never,
                (false, preferred) if preferred == self.lifetime => Preferred::WhileValid,
                (false, Some(seconds)) => Preferred::Seconds(seconds.max(1)),
                (false, None) => Preferred::WhileValid,
            },
            protocol: self.protocol,
            prefix_route: self.prefix_route,
            metric: self.metric,
            scope: Some(self.scope).filter(|_| v4),
            label: self.label.as_ref().filter(|_| v4).and_then(|label| label.parse().ok()),
            broadcast: self.broadcast.map_or(Broadcast::None, Broadcast::Explicit),
            peer: self.peer,
        })
    }
}

impl Netlink {
    /// At most so many changes go into one send.
    ///
    /// The kernel works while it is sent, and the more IPv4 addresses an interface has, the longer: near 5,000 a batch of
    /// this size took some 25 ms, one of 25 some 5 ms, and the whole the same time either way. A caller with a loop to keep
    /// turning gives [`change_addresses`](Self::change_addresses) few at once.
    pub const ADDRESS_BATCH: usize = super::BATCH;

    /// Carry out many changes, at most [`ADDRESS_BATCH`](Self::ADDRESS_BATCH) in one send, and tell for each in its place
    /// how it went.
    ///
    /// One that is refused does not stop the others. A lost answer is asked for again, once: every change here can be
    /// made twice.
    ///
    /// # Errors
    /// [`Error::Io`] if nothing could be sent. Inside: [`Error::Refused`], [`Error::UnknownInterface`],
    /// [`Error::MissingCapability`], [`Error::Unanswered`], [`Error::BadAddress`].
    pub fn change_addresses(&mut self, changes: &[AddressChange]) -> Result<Vec<Result<(), Error>>, Error> {
        let changes: Vec<HostChange> = changes.iter().copied().map(HostChange::Address).collect();
        let results = self.change_host(&changes)?;
        Ok(results.into_iter().map(|result| result.map(drop)).collect())
    }

    /// As [`change_addresses`](Self::change_addresses), with changes of any kind in one send.
    pub(crate) fn change_host(&mut self, changes: &[HostChange]) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let valid: Vec<&HostChange> = changes.iter().filter(|change| change.check().is_ok()).collect();
        let encode = |change: &&HostChange, sequence, out: &mut Vec<u8>| match change {
            HostChange::Address(change) => change.encode(NLM_F_ACK, sequence, out),
            HostChange::Add(request) => request.encode_addition(NLM_F_ACK, sequence, out),
            HostChange::Remove(request) => request.encode_removal(NLM_F_ACK, sequence, out),
        };
        let mut answers = self.batch(&valid, encode)?;
        for (answer, change) in answers.iter_mut().zip(&valid) {
            if *answer == Answer::Lost {
                *answer = self.batch(std::slice::from_ref(change), encode)?.pop().unwrap_or(Answer::Lost);
            }
        }
        let mut names = BTreeMap::new();
        let mut answers = answers.into_iter();
        let mut result = |change: &HostChange| {
            change.check()?;
            let answer = answers.next().unwrap_or(Answer::Lost);
            match change {
                HostChange::Address(change) => change.result(answer, self, &mut names).map(|()| Outcome::Done),
                HostChange::Add(request) => request.result(true, answer),
                HostChange::Remove(request) => request.result(false, answer),
            }
        };
        Ok(changes.iter().map(&mut result).collect())
    }

    /// Carry out one change.
    ///
    /// # Errors
    /// As in [`change_addresses`](Self::change_addresses).
    pub fn change_address(&mut self, change: AddressChange) -> Result<(), Error> {
        self.change_addresses(&[change])?.pop().unwrap_or(Ok(()))
    }

    /// The addresses of one interface, or of all.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`].
    pub fn addresses(&mut self, interface: Option<IfIndex>) -> Result<Vec<InterfaceAddress>, Error> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(&request, "list addresses", |message| {
            let address = if message.kind == RTM_NEWADDR { InterfaceAddress::parse(message) } else { None };
            address.filter(|address| interface.is_none_or(|interface| address.interface == interface))
        })
    }

    /// Whether this kernel keeps the mark of an address (`IFA_PROTO`, since Linux 5.18). `None` if it cannot be told from
    /// the addresses there are.
    ///
    /// It shows on the addresses that the kernel itself gives, above all those of the loopback interface.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`].
    pub fn keeps_address_marks(&mut self) -> Result<Option<bool>, Error> {
        let addresses = self.addresses(None)?;
        if addresses.iter().any(|address| address.protocol.is_some()) {
            return Ok(Some(true));
        }
        Ok(addresses.iter().any(|address| address.address.is_loopback()).then_some(false))
    }

    /// Read back whether the kernel has everything that was asked for, in the order of `requests`. An older kernel passes
    /// over attributes that it does not know, without a word.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`]. Inside: [`Error::NotKept`], which names the first difference.
    pub fn verify_addresses(&mut self, requests: &[AddressRequest]) -> Result<Vec<Result<(), Error>>, Error> {
        let found = self.addresses(None)?;
        let mut by_address: BTreeMap<_, Vec<&InterfaceAddress>> = BTreeMap::new();
        for address in &found {
            by_address.entry((address.interface, address.address)).or_default().push(address);
        }
        let verify = |request: &AddressRequest| {
            let candidates = by_address.get(&(request.interface, request.address.address()));
            let differences = candidates.into_iter().flatten().map(|found| request.difference(found));
            // Of several with the same address, which differ in their prefix, the one that is most like it counts.
            match differences.max_by_key(|difference| difference.is_none()) {
                Some(None) => Ok(()),
                Some(Some((what, _))) => Err(Error::NotKept { address: request.address, what }),
                None => Err(Error::NotKept { address: request.address, what: "address itself" }),
            }
        };
        Ok(requests.iter().map(verify).collect())
    }
}

impl AddressChange {
    /// The interface that it is about.
    pub const fn interface(&self) -> IfIndex {
        match self {
            Self::Set(AddressRequest { interface, .. })
            | Self::Remove { interface, .. }
            | Self::RemovePeer { interface, .. } => *interface,
        }
    }

    /// The address that it is about.
    pub const fn address(&self) -> VirtualAddr {
        match self {
            Self::Set(AddressRequest { address, .. })
            | Self::Remove { address, .. }
            | Self::RemovePeer { address, .. } => *address,
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Set(request) => request.check(),
            Self::Remove { .. } | Self::RemovePeer { .. } => Ok(()),
        }
    }

    /// Append the request, with `flags` such as `NLM_F_ACK` besides those it needs.
    pub(crate) fn encode(&self, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        match self {
            Self::Set(request) => request.encode(flags | NLM_F_CREATE | NLM_F_REPLACE, sequence, out),
            Self::Remove { interface, address } => {
                let fixed = fixed(*interface, *address, 0, Scope::Global);
                let mut writer = Writer::begin(out, RTM_DELADDR, flags, sequence, &fixed);
                writer.address(IFA_LOCAL, address.address());
                writer.address(IFA_ADDRESS, address.address());
                writer.finish();
            }
            Self::RemovePeer { interface, address, peer } => {
                let fixed = fixed(*interface, *address, 0, Scope::Global);
                let mut writer = Writer::begin(out, RTM_DELADDR, flags, sequence, &fixed);
                writer.address(IFA_LOCAL, address.address());
                writer.address(IFA_ADDRESS, *peer);
                writer.finish();
            }
        }
    }

    /// What became of it. `names` keeps the interfaces' names for further refusals.
    fn result(
        &self,
        answer: Answer,
        netlink: &mut Netlink,
        names: &mut BTreeMap<IfIndex, String>,
    ) -> Result<(), Error> {
        let removes = !matches!(self, Self::Set(_));
        if answer == Answer::Done || (removes && (answer.is(sys::EADDRNOTAVAIL) || answer.is(sys::ENODEV))) {
            return Ok(());
        }
        let (interface, address) = (self.interface(), self.address());
        let name = match names.get(&interface) {
            Some(name) => name.clone(),
            None => match netlink.link(interface) {
                Ok(link) => names.entry(interface).or_insert(link.name).clone(),
                Err(error) if answer.is(sys::ENODEV) => return Err(error),
                Err(_) => format!("interface {interface}"),
            },
        };
        let way_out = if answer.is(sys::EACCES) && address.family() == Family::V6 {
            Some(format!("IPv6 is turned off there: sysctl -w net/ipv6/conf/{name}/disable_ipv6=0"))
        } else if answer.is(sys::EEXIST) {
            Some("it is there already in another form: remove that one first".to_owned())
        } else {
            None
        };
        let operation = || match removes {
            true => format!("remove address {address} from {name}"),
            false => format!("set address {address} on {name}"),
        };
        answer.into_result(operation).map_err(|error| error.with_way_out(way_out))
    }
}

impl HostChange {
    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Address(change) => change.check(),
            // Checked when they were given.
            Self::Add(_) | Self::Remove(_) => Ok(()),
        }
    }
}

impl AddressRequest {
    pub(super) fn encode(&self, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        let address = self.address.address();
        let mut address_flags = 0;
        if self.address.family() == Family::V6 {
            address_flags |= IFA_F_NODAD;
        }
        if !self.prefix_route {
            address_flags |= IFA_F_NOPREFIXROUTE;
        }
        let scope = self.scope.unwrap_or(Scope::of(address));
        // The header has room for the low octet only; the attribute has all of them and takes precedence.
        let [low, ..] = address_flags.to_le_bytes();
        let fixed = fixed(self.interface, self.address, low, scope);
        let mut writer = Writer::begin(out, RTM_NEWADDR, flags, sequence, &fixed);
        writer.address(IFA_LOCAL, address);
        writer.address(IFA_ADDRESS, self.peer.unwrap_or(address));
        writer.attribute(IFA_FLAGS, &address_flags.to_ne_bytes());
        let valid = self.lifetime.unwrap_or(FOREVER);
        let preferred = match self.preferred {
            Preferred::WhileValid => valid,
            Preferred::Never => 0,
            Preferred::Seconds(seconds) => seconds,
        };
        // struct ifa_cacheinfo: preferred, valid, and two times that only the kernel sets.
        let [p, v] = [preferred.to_ne_bytes(), valid.to_ne_bytes()];
        writer.attribute(IFA_CACHEINFO, &[p, v, [0; 4], [0; 4]].concat());
        if let Some(broadcast) = self.broadcast.address(self.address) {
            writer.address(IFA_BROADCAST, broadcast.into());
        }
        if let Some(label) = &self.label {
            writer.text(IFA_LABEL, label.as_str());
        }
        if let Some(metric) = self.metric {
            writer.attribute(IFA_RT_PRIORITY, &metric.to_ne_bytes());
        }
        if let Some(mark) = self.protocol {
            writer.attribute(IFA_PROTO, &[mark]);
        }
        writer.finish();
    }

    /// The first thing that is otherwise in `found` than asked for, apart from the time that has passed; and whether
    /// setting the address anew can change that, or it must be removed first.
    pub(super) fn difference(&self, found: &InterfaceAddress) -> Option<(&'static str, Remedy)> {
        let v4 = self.address.family() == Family::V4;
        let on_v4 = |remedy| if v4 { Remedy::Remove } else { remedy };
        let scope = self.scope.unwrap_or(Scope::of(self.address.address()));
        let differences = [
            (self.address.prefix_len() != found.prefix_len, "prefix length", Remedy::Remove),
            (self.peer != found.peer, "peer", Remedy::Remove),
            (v4 && scope != found.scope, "scope", Remedy::Remove),
            (v4 && self.broadcast.address(self.address) != found.broadcast, "broadcast address", Remedy::Remove),
            (
                v4 && self.label.is_some_and(|label| Some(label.as_str()) != found.label.as_deref()),
                "label",
                Remedy::Remove,
            ),
            (found.duplicate, "freedom from duplicate address detection", Remedy::Remove),
            (self.prefix_route != found.prefix_route, "prefix route", on_v4(Remedy::Set)),
            (self.metric.is_some() && self.metric != found.metric, "metric (Linux 4.18)", Remedy::Set),
            (self.lifetime.is_some() != found.lifetime.is_some(), "lifetime", Remedy::Set),
            ((self.preferred == Preferred::Never) != found.deprecated, "preferred lifetime", Remedy::Set),
            (self.protocol.is_some() && self.protocol != found.protocol, "mark (Linux 5.18)", Remedy::Set),
        ];
        differences.into_iter().find(|(differs, ..)| *differs).map(|(_, what, remedy)| (what, remedy))
    }
}

/// What makes an address into the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Setting it anew.
    Set,
    /// Removing it, then setting it.
    Remove,
}

/// `struct ifaddrmsg`.
fn fixed(interface: IfIndex, address: VirtualAddr, flags: u8, scope: Scope) -> [u8; 8] {
    let family = match address.family() {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    };
    let [a, b, c, d] = interface.get().to_ne_bytes();
    [family, address.prefix_len(), flags, scope.number(), a, b, c, d]
}

// linux/socket.h, linux/rtnetlink.h, linux/if_addr.h
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
const FOREVER: u32 = u32::MAX;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_TENTATIVE: u32 = 0x40;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;

impl InterfaceAddress {
    /// From the payload of an `RTM_NEWADDR` or `RTM_DELADDR`: `struct ifaddrmsg`, then attributes.
    pub(super) fn parse(message: &Message<'_>) -> Option<Self> {
        let (mut address, mut local, mut broadcast) = (None, None, None);
        let (mut protocol, mut metric, mut label) = (None, None, None);
        let (mut lifetime, mut preferred) = (None, None);
        let mut flags = u32::from(*message.payload.get(2)?);
        for attribute in Attributes(message.payload.get(8..)?) {
            match attribute.kind {
                IFA_ADDRESS => address = attribute.address(),
                IFA_LOCAL => local = attribute.address(),
                IFA_BROADCAST => broadcast = attribute.address(),
                IFA_LABEL => label = Some(attribute.text()),
                IFA_CACHEINFO => {
                    preferred = u32_at(attribute.value, 0).filter(|seconds| *seconds != FOREVER);
                    lifetime = u32_at(attribute.value, 4).filter(|seconds| *seconds != FOREVER);
                }
                IFA_FLAGS => flags = attribute.u32().unwrap_or(flags),
                IFA_RT_PRIORITY => metric = attribute.u32(),
                IFA_PROTO => protocol = attribute.u8(),
                _ => {}
            }
        }
        Some(Self {
            interface: IfIndex::new(u32_at(message.payload, 4)?).ok()?,
            // On a point-to-point interface the other attribute is the peer's address.
            address: local.or(address)?,
            prefix_len: *message.payload.get(1)?,
            peer: address.filter(|address| local.is_some_and(|local| local != *address)),
            protocol,
            lifetime,
            preferred,
            scope: Scope::from_number(*message.payload.get(3)?),
            broadcast: match broadcast {
                Some(IpAddr::V4(broadcast)) => Some(broadcast),
                Some(IpAddr::V6(_)) | None => None,
            },
            prefix_route: flags & IFA_F_NOPREFIXROUTE == 0,
            metric,
            // IPv6 has another meaning for the same bit: a temporary address.
            secondary: flags & IFA_F_SECONDARY != 0 && address.is_some_and(|address| address.is_ipv4()),
            tentative: flags & IFA_F_TENTATIVE != 0,
            duplicate: flags & IFA_F_DADFAILED != 0,
            deprecated: flags & IFA_F_DEPRECATED != 0,
            label,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> AddressRequest {
        AddressRequest::new(IfIndex::new(7).unwrap(), text.parse().unwrap())
    }

    fn encoded(request: AddressRequest) -> Vec<u8> {
        let mut bytes = Vec::new();
        AddressChange::Set(request).encode(NLM_F_ACK, 1, &mut bytes);
        bytes
    }

    fn parsed(bytes: &[u8]) -> Option<InterfaceAddress> {
        InterfaceAddress::parse(&Message { kind: RTM_NEWADDR, flags: 0, sequence: 1, payload: bytes })
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let plain = request("192.0.2.100/24");
        let asked = [
            AddressRequest { lifetime: Some(5), protocol: Some(112), ..plain },
            AddressRequest { scope: Some(Scope::Host), label: "eth0:vip".parse().ok(), metric: Some(9), ..plain },
            AddressRequest { broadcast: Broadcast::Explicit([192, 0, 2, 255].into()), prefix_route: false, ..plain },
            AddressRequest { peer: "198.51.100.1".parse().ok(), preferred: Preferred::Seconds(3), ..plain },
            AddressRequest { lifetime: Some(9), preferred: Preferred::Seconds(3), ..request("2001:db8::1/64") },
        ];
        for asked in asked {
            let read = parsed(&encoded(asked)[16..]).unwrap();
            assert_eq!(asked.difference(&read), None, "{asked:?} became {read:?}");
            let scope = asked.scope.or(asked.address.address().is_ipv4().then_some(Scope::Global));
            assert_eq!(read.request(), Some(AddressRequest { scope, ..asked }));
        }
    }

    #[test]
    fn each_attribute_that_differs_is_seen() {
        let plain = request("192.0.2.100/24");
        let found = parsed(&encoded(plain)[16..]).unwrap();
        let others = [
            AddressRequest { lifetime: Some(5), ..plain },
            AddressRequest { preferred: Preferred::Never, ..plain },
            AddressRequest { protocol: Some(1), ..plain },
            AddressRequest { prefix_route: false, ..plain },
            AddressRequest { metric: Some(1), ..plain },
            AddressRequest { scope: Some(Scope::Link), ..plain },
            AddressRequest { label: "x".parse().ok(), ..plain },
            AddressRequest { broadcast: Broadcast::Auto, ..plain },
            AddressRequest { peer: "192.0.2.1".parse().ok(), ..plain },
            request("192.0.2.100/32"),
        ];
        let mut names: Vec<_> = others.iter().map(|other| other.difference(&found).unwrap().0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), others.len(), "{names:?}");
    }

    #[test]
    fn what_a_family_does_not_have_is_refused_by_name() {
        let refusal = |request: AddressRequest| request.check().unwrap_err().to_string();
        let six = request("2001:db8::1/64");
        let broadcast = Broadcast::Explicit([192, 0, 2, 255].into());
        let text = refusal(AddressRequest { broadcast, ..six });
        assert_eq!(text, "address 2001:db8::1/64 cannot be set like this: IPv6 has no broadcast address");
        assert!(refusal(AddressRequest { label: "x".parse().ok(), ..six }).contains("label"));
        assert!(refusal(AddressRequest { scope: Some(Scope::Link), ..six }).contains("scope"));
        let peer = "2001:db8::2".parse().ok();
        assert!(refusal(AddressRequest { peer, ..request("192.0.2.1") }).contains("other family"));
        assert!(six.check().is_ok());
    }

    #[test]
    fn an_20_ipv6_addresses_skip_duplicate_address_detection() {
        let nodad = |text| u32::from(encoded(request(text))[16 + 2]) & IFA_F_NODAD != 0;
        assert!(nodad("2001:db8::1"));
        assert!(!nodad("192.0.2.1"));
    }

    #[test]
    fn an_unknown_attribute_does_not_lose_the_address() {
        let mut bytes = encoded(request("192.0.2.1"))[16..].to_vec();
        bytes.splice(8..8, [&7_u16.to_ne_bytes()[..], &999_u16.to_ne_bytes(), &[1, 2, 3, 0]].concat());
        assert_eq!(parsed(&bytes).unwrap().address, request("192.0.2.1").address.address());
    }

    #[test]
    fn a_message_cut_anywhere_does_not_panic() {
        let bytes = encoded(request("192.0.2.1/24"));
        for end in 16..bytes.len() {
            let _ = parsed(&bytes[16..end]);
        }
        assert_eq!(parsed(&[]), None);
    }
}
