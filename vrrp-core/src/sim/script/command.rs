//! The commands of a script, carried out on a simulation.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::parse::{Problem, Words, duration, interval, number, octets, set_link, value, yes};
use crate::sim::{Answer, Detail, Endpoint, HostId, LanId, Lease, Link, MemberId, NodeId, Oracle, Setup, Sim};
use crate::track::Assessment;
use crate::wire::{Authentication, ChecksumForm, ChecksumPolicy, Envelope, InternetChecksum, Password, Repr, TTL};
use crate::{
    Addressing, After, Event, Family, Fault, Gate, HandOver, Instant, Params, Preempt, Priority, Version, Vrid, Yield,
};

/// A simulation with names for what is in it.
pub(super) struct Session {
    sim: Sim,
    lans: Vec<(String, LanId)>,
    nodes: Vec<(String, NodeId)>,
    hosts: Vec<(String, HostId)>,
    members: Vec<(String, MemberId)>,
}

/// From where to where.
type Direction = (Endpoint, Endpoint);

/// Finds a thing by its name.
fn find<T: Copy>(things: &[(String, T)], kind: &str, name: &str) -> Result<T, Problem> {
    let known = || things.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let found = things.iter().find(|(known, _)| known == name).map(|(_, thing)| *thing);
    found.ok_or_else(|| format!("no {kind} {name:?} (have: {})", known()))
}

impl Session {
    pub(super) fn new() -> Self {
        let mut sim = Sim::new(1);
        sim.show(Detail::Brief);
        sim.record();
        Self { sim, lans: Vec::new(), nodes: Vec::new(), hosts: Vec::new(), members: Vec::new() }
    }

    pub(super) fn into_sim(self) -> Sim {
        self.sim
    }

    pub(super) fn now(&self) -> Instant {
        self.sim.now()
    }

    pub(super) fn take_trace(&mut self) -> String {
        self.sim.take_trace()
    }

    /// Does what one line says. Returns whether it did something to a node, to the network or to an application: not whether
    /// it said what there is, let time pass, or looked at it.
    pub(super) fn run(&mut self, line: &str) -> Result<bool, Problem> {
        let mut words = Words::of(line);
        let command = words.need("the command")?;
        let does = self.disturb_node(command, &mut words)?
            || self.disturb_network(command, &mut words)?
            || self.ask(command, &mut words)?;
        if !does && !self.build(command, &mut words)? && !self.watch(command, &mut words)? {
            return Err(format!("{command:?} is no command"));
        }
        words.end().map(|()| does)
    }

    // What there is

    fn build(&mut self, command: &str, words: &mut Words<'_>) -> Result<bool, Problem> {
        match command {
            "seed" => {
                if !(self.lans.is_empty() && self.nodes.is_empty()) {
                    return Err("the seed comes first".to_string());
                }
                self.sim = Sim::new(value(words.need("the seed")?)?);
                self.sim.show(Detail::Brief);
                self.sim.record();
            }
            "lan" => {
                let name = words.need("the name of the LAN")?;
                let link = self.link_of(Link::default(), words)?;
                let lan = self.sim.lan(name, link);
                self.lans.push((name.to_string(), lan));
            }
            "node" => self.add_node(words)?,
            "host" => {
                let name = words.need("the name of the host")?;
                let settings = words.settings();
                let lan = match settings.first() {
                    Some(("lan", lan)) => find(&self.lans, "LAN", lan)?,
                    Some((key, _)) => return Err(format!("{key:?} is no setting of a host")),
                    None => self.first_lan(),
                };
                let host = self.sim.host(name, lan);
                self.hosts.push((name.to_string(), host));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The first LAN, which is there without being named.
    fn first_lan(&mut self) -> LanId {
        match self.lans.first() {
            Some((_, lan)) => *lan,
            None => {
                let lan = self.sim.lan("lan", Link::default());
                self.lans.push(("lan".to_string(), lan));
                lan
            }
        }
    }

    fn link_of(&self, mut link: Link, words: &mut Words<'_>) -> Result<Link, Problem> {
        for (key, text) in words.settings() {
            if !set_link(&mut link, key, text)? {
                return Err(format!("{key:?} is no setting of a link"));
            }
        }
        Ok(link)
    }

    fn add_node(&mut self, words: &mut Words<'_>) -> Result<(), Problem> {
        let name = words.need("the name of the node")?;
        let settings = words.settings();
        let version = version_of(&settings)?;
        let mut setup = Setup::new(Params::new(version));
        let node = self.sim.node(name);
        self.nodes.push((name.to_string(), node));
        let mut lans = vec![self.first_lan()];
        let mut several = false;
        for (key, text) in settings {
            match key {
                "version" | "family" => {}
                "lan" => {
                    let names = text.split(',').map(|lan| find(&self.lans, "LAN", lan));
                    lans = names.collect::<Result<_, _>>()?;
                    several = lans.len() > 1;
                }
                "clock" => self.sim.clock_ahead(node, duration(text)?),
                "group" => self.sim.group(node),
                _ if set_params(&mut setup.params, key, text)? => {}
                _ if set_setup(&mut setup, key, text)? => {}
                _ => return Err(format!("{key:?} is no setting of a node")),
            }
        }
        for lan in lans {
            let member = self.sim.add(node, lan, setup.clone()).map_err(|error| error.to_string())?;
            let lan_name = self.lans.iter().find(|(_, known)| *known == lan).map(|(name, _)| name.as_str());
            let name = if several { format!("{name}@{}", lan_name.unwrap_or_default()) } else { name.to_string() };
            self.members.push((name, member));
        }
        Ok(())
    }

    // Who is meant

    fn node(&self, words: &mut Words<'_>) -> Result<NodeId, Problem> {
        find(&self.nodes, "node", words.need("the node")?)
    }

    /// The virtual routers that a name stands for: `a@lan`, or all of node `a`.
    fn members_of(&self, words: &mut Words<'_>) -> Result<Vec<MemberId>, Problem> {
        let name = words.need("the node")?;
        if let Ok(member) = find(&self.members, "node", name) {
            return Ok(vec![member]);
        }
        let node = find(&self.nodes, "node", name)?;
        Ok(self.members.iter().map(|(_, member)| *member).filter(|member| member.node() == node).collect())
    }

    /// A node or a host, and the one LAN that is meant, if it is named.
    fn endpoint(&self, words: &mut Words<'_>) -> Result<(Endpoint, Option<LanId>), Problem> {
        let name = words.need("the other end")?;
        let (name, lan) = match name.split_once('@') {
            Some((name, lan)) => (name, Some(find(&self.lans, "LAN", lan)?)),
            None => (name, None),
        };
        let end = match find(&self.hosts, "host", name) {
            Ok(host) => host.into(),
            Err(_) => find(&self.nodes, "node or host", name)?.into(),
        };
        Ok((end, lan))
    }

    /// `A B` or `A -> B`: the directions that are meant, and the LAN if it is named.
    fn ends(&self, words: &mut Words<'_>) -> Result<(Vec<Direction>, Option<LanId>), Problem> {
        let (from, lan) = self.endpoint(words)?;
        let one_way = words.skip("->");
        let (to, other_lan) = self.endpoint(words)?;
        let both = vec![(from, to), (to, from)];
        Ok((both.into_iter().take(if one_way { 1 } else { 2 }).collect(), lan.or(other_lan)))
    }

    fn set_links(
        &mut self,
        words: &mut Words<'_>,
        link: impl Fn(&Self, &mut Words<'_>) -> Result<Link, Problem>,
    ) -> Result<(), Problem> {
        let (ends, lan) = self.ends(words)?;
        let link = link(self, words)?;
        for (from, to) in ends {
            match lan {
                Some(lan) => self.sim.set_link_on(lan, from, to, link),
                None => self.sim.set_link(from, to, link),
            }
        }
        Ok(())
    }

    // What happens

    fn disturb_node(&mut self, command: &str, words: &mut Words<'_>) -> Result<bool, Problem> {
        match command {
            "start" => {
                if words.skip("all") {
                    self.sim.start_all();
                    return Ok(true);
                }
                let mut node = self.node(words)?;
                loop {
                    // One that left runs on.
                    match self.sim.is_running(node) {
                        true => self.sim.rejoin(node),
                        false => self.sim.start(node),
                    }
                    match words.next() {
                        Some(name) => node = find(&self.nodes, "node", name)?,
                        None => return Ok(true),
                    }
                }
            }
            "leave" => self.sim.shut_down(self.node(words)?),
            "crash" => self.sim.crash(self.node(words)?),
            "power-off" => self.sim.power_off(self.node(words)?),
            "power-on" => {
                let node = self.node(words)?;
                self.sim.power_on(node);
                self.sim.start(node);
            }
            "stall" => self.sim.stall(self.node(words)?, duration(words.need("how long")?)?),
            "freeze" => self.sim.freeze(self.node(words)?, duration(words.need("how long")?)?),
            "drift" => self.sim.drift(self.node(words)?, value(words.need("how many millionths")?)?),
            "carrier" => {
                let node = self.node(words)?;
                let up = yes(words.need("up or down")?)?;
                let lan = match words.next() {
                    Some(lan) => find(&self.lans, "LAN", lan)?,
                    None => self.first_lan(),
                };
                self.sim.carrier(node, lan, up);
            }
            "sends" => {
                let node = self.node(words)?;
                self.sim.fail_sends(node, !yes(words.need("fail or ok")?)?);
            }
            "installs" => {
                let members = self.members_of(words)?;
                let fail = !yes(words.need("fail or ok")?)?;
                members.into_iter().for_each(|member| self.sim.fail_installs(member, fail));
            }
            "remove-addresses" => {
                self.members_of(words)?.into_iter().for_each(|member| self.sim.remove_addresses(member));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn disturb_network(&mut self, command: &str, words: &mut Words<'_>) -> Result<bool, Problem> {
        match command {
            "cut" => self.set_links(words, |_, _| Ok(Link { cut: true, ..Link::default() }))?,
            "heal" if words.skip("all") => self.sim.heal_all(Link::default()),
            "heal" => self.set_links(words, |_, _| Ok(Link::default()))?,
            "isolate" => self.sim.isolate(self.node(words)?),
            "reconnect" => self.sim.reconnect(self.node(words)?),
            "link" => self.set_links(words, |session, words| session.link_of(Link::default(), words))?,
            "lose" => {
                let (ends, _) = self.ends(words)?;
                let frames = value(words.need("how many")?)?;
                ends.into_iter().for_each(|(from, to)| self.sim.lose_next(from, to, frames));
            }
            "hold" => {
                let (ends, _) = self.ends(words)?;
                let hold = duration(words.need("how long")?)?;
                ends.into_iter().for_each(|(from, to)| self.sim.hold_next(from, to, hold));
            }
            "inject" => self.inject(words)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Builds a datagram and lets it arrive.
    fn inject(&mut self, words: &mut Words<'_>) -> Result<(), Problem> {
        let settings = words.settings();
        let version = version_of(&settings)?;
        let mut lan = self.first_lan();
        let (mut from, mut to): (Option<IpAddr>, Option<IpAddr>) = (None, None);
        let (mut ttl, mut vrid, mut priority, mut centiseconds) = (TTL, Vrid::new(51).ok(), None, None);
        let (mut addresses, mut authentication, mut raw) = (Vec::new(), Authentication::None, None);
        for (key, text) in settings {
            match key {
                "version" | "family" => {}
                "lan" => lan = find(&self.lans, "LAN", text)?,
                "from" => from = Some(value(text)?),
                "to" => to = Some(value(text)?),
                "ttl" => ttl = value(text)?,
                "vrid" => vrid = Some(number(text)?),
                "priority" => priority = Priority::from_wire(value(text)?),
                "interval" if duration(text)?.is_zero() => centiseconds = Some(0),
                "interval" => centiseconds = Some(interval(text)?.as_centiseconds()),
                "vip" => addresses = text.split(',').map(value).collect::<Result<_, _>>()?,
                "password" => authentication = password(text)?,
                "octets" => raw = Some(octets(text)?),
                _ => return Err(format!("{key:?} is no setting of a datagram")),
            }
        }
        let source = from.ok_or("from=ADDRESS is missing")?;
        let destination = to.unwrap_or(Family::of(source).group());
        let vrid = vrid.ok_or("vrid is missing")?;
        if addresses.is_empty() {
            let like = self.members.first().map(|(_, member)| self.sim.addresses(*member).to_vec());
            addresses = like.unwrap_or_default();
        }
        let repr = Repr { priority, authentication, ..Repr::new(version, vrid, &addresses) };
        let mut buffer = vec![0; repr.buffer_len()];
        let form = ChecksumForm::MessageOnly;
        let len = repr.emit(source, destination, form, &mut buffer).map_err(|error| error.to_string())?;
        buffer.truncate(len);
        if let Some(centiseconds) = centiseconds {
            advertise_interval(&mut buffer, version, centiseconds);
        }
        let payload = raw.unwrap_or(buffer);
        self.sim.inject(lan, Envelope { source, destination, ttl: Some(ttl) }, &payload);
        Ok(())
    }

    fn ask(&mut self, command: &str, words: &mut Words<'_>) -> Result<bool, Problem> {
        match command {
            "assess" => {
                let members = self.members_of(words)?;
                let priority = number(words.need("the priority")?)?;
                let fault = words.skip("fault");
                members.into_iter().for_each(|member| self.sim.assess(member, Assessment { priority, fault }));
            }
            "able" => {
                let members = self.members_of(words)?;
                let event = match yes(words.need("yes or no")?)? {
                    true => Event::Recovered(Fault::Application),
                    false => Event::Fault(Fault::Application),
                };
                members.into_iter().for_each(|member| self.sim.event(member, event));
            }
            "answer" => {
                let members = self.members_of(words)?;
                let answer = match words.need("confirm, refuse or silence")? {
                    "confirm" => Answer::Confirm(duration(words.need("after how long")?)?),
                    "refuse" => Answer::Refuse(duration(words.need("after how long")?)?),
                    "silence" => Answer::Silence,
                    other => return Err(format!("{other:?} is no answer: confirm, refuse or silence")),
                };
                members.into_iter().for_each(|member| self.sim.application(member, answer));
            }
            "hand-over" => {
                let members = self.members_of(words)?;
                let after = match words.need("leave or stay")? {
                    "leave" => After::Leave,
                    "stay" => After::Stay,
                    other => return Err(format!("{other:?} is neither leave nor stay")),
                };
                members.into_iter().for_each(|member| self.sim.hand_over(member, after));
            }
            "set" => {
                let members = self.members_of(words)?;
                let settings = words.settings();
                for member in members {
                    let mut params = self.sim.params(member).ok_or("no such virtual router")?;
                    for (key, text) in &settings {
                        if !set_params(&mut params, key, text)? {
                            return Err(format!("{key:?} is no parameter that can be changed"));
                        }
                    }
                    self.sim.set_params(member, params).map_err(|error| error.to_string())?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn watch(&mut self, command: &str, words: &mut Words<'_>) -> Result<bool, Problem> {
        match command {
            "run" if words.skip("until") => {
                let until = Instant::ZERO + duration(words.need("until when")?)?;
                self.sim.run_until(until);
            }
            "run" => self.sim.run_for(duration(words.need("how long")?)?),
            "trace" => {
                self.sim.show(match words.need("brief, full or off")? {
                    "brief" => Detail::Brief,
                    "full" => Detail::Full,
                    "off" => Detail::Off,
                    other => return Err(format!("{other:?} is neither brief nor full nor off")),
                });
            }
            "oracles" => match words.need("none, all or but")? {
                "none" => self.sim.judge_by(&[]),
                "all" => self.sim.judge_by(&Oracle::ALL),
                "but" => {
                    let mut left = Oracle::ALL.to_vec();
                    while let Some(id) = words.next() {
                        left.retain(|oracle| oracle.to_string().split(' ').next() != Some(id));
                    }
                    self.sim.judge_by(&left);
                }
                other => return Err(format!("{other:?} is neither none nor all nor but")),
            },
            "show" => self.sim.describe(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Version and family, which the rest depends on.
fn version_of(settings: &[(&str, &str)]) -> Result<Version, Problem> {
    let find = |wanted: &str| settings.iter().find(|(key, _)| *key == wanted).map(|(_, text)| *text);
    match (find("version").unwrap_or("3"), find("family").unwrap_or("4")) {
        ("2", "4") => Ok(Version::V2),
        ("3", "4") => Ok(Version::V3(Family::V4)),
        ("3", "6") => Ok(Version::V3(Family::V6)),
        (version, family) => Err(format!("there is no VRRPv{version} over IPv{family}")),
    }
}

/// Takes a setting of the parameters; whether it was one.
fn set_params(params: &mut Params, key: &str, text: &str) -> Result<bool, Problem> {
    let problem = |error: crate::ParamsError| error.to_string();
    let pair = || text.split_once(',').unwrap_or((text, ""));
    *params = match key {
        "priority" => params.with_priority(number(text)?),
        "interval" => params.with_advert_interval(interval(text)?).map_err(problem)?,
        "preempt" => params.with_preempt(match text {
            "always" => Preempt::Immediately,
            "never" => Preempt::Never,
            delay => Preempt::After(duration(delay)?),
        }),
        "yield" => params.with_yield(match text {
            "auto" => Yield::Auto,
            "never" => Yield::Never,
            "degraded" => Yield::WhenDegraded,
            other => return Err(format!("{other:?} is neither auto nor never nor degraded")),
        }),
        "settle" => params.with_settle(Some(duration(text)?)),
        "gate" => {
            let (timeout, back_off) = pair();
            let back_off = if back_off.is_empty() { "10s" } else { back_off };
            params.with_gate(Some(Gate { timeout: duration(timeout)?, back_off: duration(back_off)? }))
        }
        "hand-over" => {
            let (short, deadline) = pair();
            let deadline = if deadline.is_empty() { "2s" } else { deadline };
            params.with_hand_over(HandOver { interval: interval(short)?, deadline: duration(deadline)? })
        }
        "re-election" => params.with_re_election(duration(text)?),
        "fault-hold" => params.with_fault_hold(duration(text)?),
        "answers" => params.with_answer_rivals(yes(text)?),
        "learn-interval" => params.with_learn_v2_interval(yes(text)?),
        "address" => params.with_primary_address(Some(value(text)?)).map_err(problem)?,
        _ => return Ok(false),
    };
    Ok(true)
}

/// Takes a setting of the rest of a virtual router; whether it was one.
fn set_setup(setup: &mut Setup, key: &str, text: &str) -> Result<bool, Problem> {
    match key {
        "vrid" => setup.vrid = number(text)?,
        "vip" => setup.addresses = text.split(',').map(value).collect::<Result<_, _>>()?,
        "password" => setup.authentication = password(text)?,
        "lease" => {
            setup.lease = match text {
                "auto" => Lease::Auto,
                "off" => Lease::Off,
                lifetime => Lease::Fixed(duration(lifetime)?),
            }
        }
        "peers" => {
            let peers = text.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
            setup.addressing = Addressing::unicast(peers);
        }
        "from" => {
            let allowed = text.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
            setup.addressing = Addressing::multicast_from(allowed);
        }
        "checksum" => {
            setup.checksum = match text {
                "auto" => ChecksumPolicy::Auto,
                "rfc9568" => ChecksumPolicy::MessageOnly,
                "pseudo-header" => ChecksumPolicy::PseudoHeader,
                other => return Err(format!("{other:?} is neither auto nor rfc9568 nor pseudo-header")),
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn password(text: &str) -> Result<Authentication, Problem> {
    Password::new(text).map(Authentication::SimpleText).map_err(|error| error.to_string())
}

/// Puts an interval into an advertisement, also one that no router may send.
fn advertise_interval(octets: &mut [u8], version: Version, centiseconds: u16) {
    let [high, low] = centiseconds.to_be_bytes();
    let field = match version {
        // Whole seconds after the type of authentication.
        Version::V2 => (octets.get(4).copied().unwrap_or(0), u8::try_from(centiseconds / 100).unwrap_or(u8::MAX)),
        Version::V3(_) => (high, low),
    };
    for (index, octet) in [(4, field.0), (5, field.1), (6, 0), (7, 0)] {
        if let Some(place) = octets.get_mut(index) {
            *place = octet;
        }
    }
    let summed = match version {
        // Authentication data are not covered.
        Version::V2 => octets.get(..octets.len().saturating_sub(8)).unwrap_or_default(),
        Version::V3(_) => octets,
    };
    let [high, low] = InternetChecksum::new().with(summed).field();
    for (index, octet) in [(6, high), (7, low)] {
        if let Some(place) = octets.get_mut(index) {
            *place = octet;
        }
    }
}
