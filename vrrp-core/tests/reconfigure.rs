//! Live reconfiguration of every parameter: the role stays, unless the change demands otherwise.
#![cfg(feature = "alloc")]

mod common;

use common::{ME, RIVAL_ABOVE, RIVAL_BELOW, millis, priority};
use core::net::IpAddr;
use core::time::Duration;
use vrrp_core::Action::{Announce, InstallAddresses};
use vrrp_core::wire::{
    Authentication, ChecksumAcceptance, ChecksumForm, ChecksumPolicy, Discard, Envelope, Packet, Password, Repr,
};
use vrrp_core::{
    Action, Addressing, After, Claim, ConfigError, Event, Family, Fault, Gate, HandOver, IfIndex, Instant, Interval,
    Params, Phase, Preempt, Role, RouterId, State, Version, VirtualRouterConfig, Vrid, VrrpRouter, Yield,
};

const V3: Version = Version::V3(Family::V4);
const GROUP: IpAddr = Family::V4.group();
const SECOND: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn vrid(value: u8) -> Vrid {
    Vrid::new(value).unwrap()
}

fn password(text: &str) -> Authentication {
    Authentication::SimpleText(Password::new(text).unwrap())
}

/// Of `version`, with a source of its own if `source`.
fn config(version: Version) -> VirtualRouterConfig {
    let address = if version.family() == Family::V4 { "192.0.2.100" } else { "fe80::100" };
    VirtualRouterConfig::new(vrid(51), common::params(version), [ip(address)])
}

struct Host {
    router: VrrpRouter,
    id: RouterId,
    now: Instant,
}

impl Host {
    /// In `role`: Active or Claimant because nobody was heard, Backup of a rival that was.
    fn new(role: Role, config: VirtualRouterConfig) -> Self {
        let mut router = VrrpRouter::new();
        let id = router.add(IfIndex::new(2).unwrap(), config).unwrap();
        router.handle_event(Instant::ZERO, id, Event::Startup);
        let mut host = Self { router, id, now: millis(1000) };
        match role {
            Role::Active => {
                host.now = host.router.poll_timeout().unwrap();
                host.router.handle_timeout(host.now);
            }
            Role::Claimant => {
                host.now = host.router.poll_timeout().unwrap();
                host.router.handle_timeout(host.now);
            }
            Role::Initialize | Role::Backup => {
                let family = host.router.params(id).unwrap().version().family();
                let source = if family == Family::V4 { RIVAL_ABOVE } else { ip("fe80::b") };
                host.router.handle_event(host.now, id, Event::Advert(common::advert(source, 200)));
            }
        }
        host.actions();
        assert_eq!(host.role(), role);
        host
    }

    fn state(&self) -> State {
        self.router.state(self.id).unwrap()
    }

    fn role(&self) -> Role {
        self.state().role()
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.router.poll_action()).map(|(_, action)| action).collect()
    }

    fn config(&self) -> VirtualRouterConfig {
        self.router.config(self.id).unwrap().clone()
    }

    fn params(&self) -> Params {
        *self.router.params(self.id).unwrap()
    }

    /// Half a second later.
    fn change(&mut self, config: VirtualRouterConfig) -> Result<Vec<Action>, ConfigError> {
        self.now = self.now + SECOND / 2;
        let before = self.config();
        assert_eq!(self.router.reconfigure(self.now, self.id, config)?, before);
        Ok(self.actions())
    }

    /// The next advertisement: where it comes from and goes to, and its octets.
    fn built(&mut self) -> (IpAddr, IpAddr, Vec<u8>) {
        let params = self.params();
        let claim = Claim { priority: Some(params.priority()), interval: params.advert_interval() };
        let mut buffer = [0; 512];
        let built = self.router.build_advert(self.id, claim, &mut buffer).unwrap();
        (built.source, built.destination, buffer[..built.len].to_vec())
    }

    /// A rival's advertisement of priority 1 arrives.
    fn hear(&mut self, repr: &Repr<'_>, form: ChecksumForm, destination: IpAddr) -> Result<RouterId, Discard> {
        let mut octets = vec![0; repr.buffer_len()];
        repr.emit(RIVAL_ABOVE, destination, form, &mut octets).unwrap();
        let envelope = Envelope { source: RIVAL_ABOVE, destination, ttl: Some(255) };
        self.router.handle_datagram(self.now, IfIndex::new(2).unwrap(), &envelope, &octets)
    }
}

/// What a rival of priority 1 says.
fn repr(version: Version, addresses: &[IpAddr]) -> Repr<'_> {
    Repr { priority: Some(priority(1)), ..Repr::new(version, vrid(51), addresses) }
}

/// Every parameter that an application can set, each changed alone, and what an Active has to do then.
fn changes() -> Vec<(&'static str, VirtualRouterConfig, Vec<Action>)> {
    let of = |params: Params| config(V3).with_params(params);
    let params = common::params(V3);
    let gate = Gate { timeout: SECOND, back_off: SECOND };
    let hand_over = HandOver { interval: Interval::SHORTEST, deadline: SECOND };
    let installed = vec![InstallAddresses, Announce];
    vec![
        ("version", config(Version::V2), vec![]),
        ("priority raised", of(params.with_priority(priority(150))), vec![]),
        ("priority lowered", of(params.with_priority(priority(50))), vec![]),
        ("priority of the owner", of(params.with_priority(vrrp_core::Priority::OWNER)), vec![]),
        ("shorter interval", of(params.with_advert_interval(common::centiseconds(10)).unwrap()), vec![]),
        ("longer interval", of(params.with_advert_interval(common::centiseconds(500)).unwrap()), vec![]),
        ("no preemption", of(params.with_preempt(Preempt::Never)), vec![]),
        ("late preemption", of(params.with_preempt(Preempt::After(SECOND))), vec![]),
        ("accept mode", of(params.with_accept_mode(false)), vec![]),
        ("answers", of(params.with_answer_rivals(false)), vec![]),
        ("learning", of(params.with_learn_v2_interval(true)), vec![]),
        ("fault hold", of(params.with_fault_hold(SECOND)), vec![]),
        ("yield", of(params.with_yield(Yield::WhenDegraded)), vec![]),
        ("re-election", of(params.with_re_election(SECOND)), vec![]),
        ("settle", of(params.with_settle(Some(SECOND))), vec![]),
        ("gate", of(params.with_gate(Some(gate))), vec![]),
        ("hand-over", of(params.with_hand_over(hand_over)), vec![]),
        ("another address", with_addresses(&["192.0.2.101"]), installed.clone()),
        ("one address more", with_addresses(&["192.0.2.100", "192.0.2.101"]), installed),
        ("checksum", config(V3).with_checksum(ChecksumPolicy::MessageOnly), vec![]),
        ("accepted checksum", config(V3).with_accepted_checksum(ChecksumAcceptance::MessageOnly), vec![]),
        ("strict address list", config(V3).with_strict_address_list(true), vec![]),
        ("unicast", config(V3).with_addressing(Addressing::unicast([RIVAL_ABOVE, RIVAL_BELOW])), vec![]),
        ("allowed sources", config(V3).with_addressing(Addressing::multicast_from([RIVAL_ABOVE])), vec![]),
        ("source", config(V3).with_source(ip("192.0.2.77")), vec![]),
        ("MTU", config(V3).with_mtu(576), vec![]),
        ("password", config(Version::V2).with_authentication(password("secret")), vec![]),
    ]
}

fn with_addresses(addresses: &[&str]) -> VirtualRouterConfig {
    let mut config = config(V3);
    config.addresses = addresses.iter().map(|address| ip(address)).collect();
    config
}

#[test]
fn every_parameter_is_replaced_without_leaving_the_role() {
    for (name, changed, actions) in changes() {
        for role in [Role::Backup, Role::Active] {
            let mut host = Host::new(role, config(V3));
            let expected = if role == Role::Active { actions.clone() } else { vec![] };
            assert_eq!(host.change(changed.clone()), Ok(expected), "{name} as {role}");
            assert_eq!(host.role(), role, "{name}");
            assert!(host.router.poll_timeout().is_some_and(|at| at >= host.now), "{name} as {role}");
            // What is told is what was given; the primary address is that of the running router.
            let primary = changed.source.unwrap_or(ME);
            let told = changed.params.with_primary_address(Some(primary)).unwrap();
            assert_eq!(host.config(), changed.clone().with_params(told), "{name}");
            assert_eq!(host.params(), told, "{name}");
            // And back again: an Active was told to do nothing but to install and to announce.
            let back = host.change(config(V3)).unwrap();
            assert!(back.iter().all(|action| matches!(action, InstallAddresses | Announce)), "{name}: {back:?}");
            assert_eq!(host.role(), role, "{name}");
            // An Active goes on to advertise, a Backup takes over when its time comes.
            let due = host.router.poll_timeout().unwrap();
            host.router.handle_timeout(due);
            let next = host.actions();
            assert!(next.iter().any(|action| matches!(action, Action::SendAdvert(_))), "{name} as {role}: {next:?}");
            assert_eq!(host.role(), Role::Active, "{name}");
        }
    }
}

const GATE: Gate = Gate { timeout: Duration::from_secs(2), back_off: SECOND };

fn gated(config: VirtualRouterConfig) -> VirtualRouterConfig {
    let params = config.params.with_gate(Some(GATE));
    config.with_params(params)
}

/// A Claimant beside a lower Active, which it must not disturb before it is confirmed.
fn silent_claimant() -> Host {
    let params = common::params(V3).with_priority(priority(200));
    let mut host = Host::new(Role::Backup, gated(config(V3).with_params(params)));
    host.router.handle_event(host.now, host.id, Event::Advert(common::advert(RIVAL_BELOW, 50)));
    host.now = host.router.poll_timeout().unwrap() - Duration::from_micros(1);
    host.router.handle_event(host.now, host.id, Event::Advert(common::advert(RIVAL_BELOW, 50)));
    host.now = host.router.poll_timeout().unwrap();
    host.router.handle_timeout(host.now);
    assert!(matches!(host.actions()[..], [Action::Prepare(_), Action::Transition(_)]));
    host
}

#[test]
fn a_claimant_keeps_its_claim_whatever_is_changed() {
    for (name, changed, _) in changes() {
        for silent in [false, true] {
            let mut host = if silent { silent_claimant() } else { Host::new(Role::Claimant, gated(config(V3))) };
            let State::Claimant(claim) = host.state() else { panic!("{name}: no Claimant") };
            // The change itself takes the gate away, unless it is that of the gate.
            for changed in [gated(changed.clone()), changed.clone()] {
                assert_eq!(host.change(changed), Ok(vec![]), "{name}");
                let State::Claimant(after) = host.state() else { panic!("{name}: it has left its claim") };
                assert_eq!(
                    (after.since, after.until, after.beside),
                    (claim.since, claim.until, claim.beside),
                    "{name}"
                );
                assert!(host.router.poll_timeout().is_some_and(|at| at <= claim.until.max(after.advert_at)), "{name}");
            }
            // The claim that was asked about is the one that is confirmed, by the new parameters.
            host.router.handle_event(host.now, host.id, Event::Confirm(claim.since));
            let claim = Claim { priority: Some(host.params().priority()), interval: host.params().advert_interval() };
            let actions = host.actions();
            assert_eq!(actions[..3], [Action::SendAdvert(claim), InstallAddresses, Announce], "{name}");
            assert_eq!(host.role(), Role::Active, "{name}");
        }
    }
}

#[test]
fn a_claim_whose_gate_was_taken_away_ends_with_its_time() {
    let mut host = Host::new(Role::Claimant, gated(config(V3)));
    let asked = host.now;
    host.change(config(V3)).unwrap();
    host.router.handle_timeout(asked + GATE.timeout);
    assert_eq!(host.role(), Role::Backup);
    // The next time it asks nobody.
    let due = host.router.poll_timeout().unwrap();
    host.actions();
    host.router.handle_timeout(due);
    assert_eq!(host.role(), Role::Active);
    assert!(!host.actions().iter().any(|action| matches!(action, Action::Prepare(_))));
}

#[test]
fn an_active_goes_on_with_what_it_has_begun() {
    // An election it called, and a hand-over: neither is forgotten by a change of something else.
    let longer = common::params(V3).with_advert_interval(common::centiseconds(200)).unwrap();
    let standing = common::params(V3).with_preempt(Preempt::Never).with_effective_priority(priority(40));
    let mut host = Host::new(Role::Active, config(V3));
    let called = host.change(config(V3).with_params(standing)).unwrap();
    assert!(called.iter().any(|action| matches!(action, Action::SendAdvert(Claim { priority: None, .. }))));
    assert!(matches!(host.state(), State::Active(active) if matches!(active.phase, Phase::Standing(_))));
    let phase = |host: &Host| match host.state() {
        State::Active(active) => active.phase,
        other => panic!("{other:?}"),
    };
    let before = phase(&host);
    let still_degraded = longer.with_preempt(Preempt::Never).with_effective_priority(priority(40));
    assert_eq!(host.change(config(V3).with_params(still_degraded)), Ok(vec![]));
    assert_eq!(phase(&host), before);

    let mut host = Host::new(Role::Active, config(V3));
    host.router.handle_event(host.now, host.id, Event::HandOver(After::Leave));
    host.actions();
    let before = phase(&host);
    assert!(matches!(before, Phase::HandingOver(..)));
    assert_eq!(host.change(with_addresses(&["192.0.2.100", "192.0.2.101"])), Ok(vec![InstallAddresses, Announce]));
    assert_eq!(host.change(config(V3).with_params(longer)), Ok(vec![InstallAddresses, Announce]));
    assert_eq!(phase(&host), before);
}

#[test]
fn only_a_degraded_priority_calls_an_election_and_only_where_it_may() {
    let degraded = |params: Params| params.with_effective_priority(priority(40));
    let preempting = common::params(V3);
    let cases = [
        (preempting.with_priority(priority(40)), false),
        (degraded(preempting), false),
        (degraded(preempting.with_yield(Yield::WhenDegraded)), true),
        (degraded(preempting.with_preempt(Preempt::Never)), true),
    ];
    for (params, calls) in cases {
        let mut host = Host::new(Role::Active, config(V3));
        let actions = host.change(config(V3).with_params(params)).unwrap();
        let resigns = |action: &Action| matches!(action, Action::SendAdvert(Claim { priority: None, .. }));
        assert_eq!(actions.iter().any(resigns), calls, "{params:?}");
        // It serves meanwhile.
        assert!(!actions.contains(&Action::RemoveAddresses));
        assert_eq!(host.role(), Role::Active);
    }
}

#[test]
fn a_backup_that_becomes_the_owner_takes_over_whatever_it_hears() {
    let owner = common::params(V3).with_preempt(Preempt::Never).with_priority(vrrp_core::Priority::OWNER);
    let mut host = Host::new(Role::Backup, config(V3).with_params(owner.with_priority(priority(100))));
    host.change(config(V3).with_params(owner)).unwrap();
    assert_eq!(host.role(), Role::Backup);
    let due = host.router.poll_timeout().unwrap();
    while host.now + SECOND < due {
        host.now = host.now + SECOND;
        host.router.handle_event(host.now, host.id, Event::Advert(common::advert(RIVAL_ABOVE, 200)));
    }
    host.router.handle_timeout(due);
    assert_eq!(host.role(), Role::Active);
}

#[cfg(feature = "auth-hmac")]
#[test]
fn keys_are_given_changed_and_taken_away_without_leaving_the_role() {
    use vrrp_core::hmac::{AntiReplay, Config, Key, KeyId, Keys, Mode, WallClock};
    let key = |octet: u8| Key::from_hex(&format!("{octet:02x}").repeat(32)).unwrap();
    let keys = |id: u8, octet| Keys::new(KeyId::new(id).unwrap(), key(octet));
    let with = |keys, mode| Config { keys, mode, anti_replay: AntiReplay::Monotonic };
    let unsigned = repr(V3, &[]).buffer_len() + 4;
    for role in [Role::Backup, Role::Claimant, Role::Active] {
        let mut host = Host::new(role, if role == Role::Claimant { gated(config(V3)) } else { config(V3) });
        host.router.set_wall_clock(host.now, WallClock::new(1_700_000_000, 0));
        let changes = [
            (Some(with(keys(1, 0x11), Mode::ReceiveOnly)), unsigned),
            (Some(with(keys(1, 0x11), Mode::Permissive)), unsigned + 28),
            (Some(with(keys(1, 0x11).with(KeyId::new(2).unwrap(), key(0x22)).unwrap(), Mode::Enforce)), unsigned + 28),
            (Some(with(keys(2, 0x22), Mode::Enforce)), unsigned + 28),
            (None, unsigned),
        ];
        for (keys, len) in changes {
            let before = (host.state(), host.router.poll_timeout());
            host.router.set_hmac(host.id, keys.clone()).unwrap();
            assert_eq!((host.state(), host.router.poll_timeout(), host.actions()), (before.0, before.1, vec![]));
            assert_eq!(host.built().2.len(), len, "{role}: {keys:?}");
            let heard = host.hear(&repr(V3, &[ip("192.0.2.100")]), ChecksumForm::PseudoHeader, GROUP);
            let enforced = keys.is_some_and(|keys| keys.mode == Mode::Enforce);
            let expected = if enforced { Err(Discard::AuthExtMissing) } else { Ok(host.id) };
            assert_eq!(heard, expected, "{role}");
            host.actions();
        }
        // A password beside keys is refused, whichever comes first.
        host.router.set_hmac(host.id, Some(with(keys(1, 0x11), Mode::Enforce))).unwrap();
        let both = config(Version::V2).with_authentication(password("secret"));
        assert_eq!(host.change(both), Err(ConfigError::PasswordAndHmac(vrid(51))));
        assert_eq!(host.role(), role);
    }
}

#[test]
fn what_is_configured_already_changes_nothing() {
    for role in [Role::Backup, Role::Active] {
        // With a gate it would be a Claimant, and as the owner never a Backup.
        let can_be = |name: &str| name != "gate" && (role == Role::Active || name != "priority of the owner");
        for (name, config, _) in changes().into_iter().filter(|(name, ..)| can_be(name)) {
            let mut host = Host::new(role, config);
            let before = (host.router.state(host.id), host.router.poll_timeout());
            let config = host.config();
            assert_eq!(host.change(config), Ok(vec![]), "{name}");
            assert_eq!((host.router.state(host.id), host.router.poll_timeout()), before, "{name}");
        }
    }
}

#[test]
fn another_order_of_the_addresses_is_advertised_and_nothing_is_installed() {
    let mut host = Host::new(Role::Active, with_addresses(&["192.0.2.100", "192.0.2.101"]));
    let (_, _, before) = host.built();
    assert_eq!(host.change(with_addresses(&["192.0.2.101", "192.0.2.100"])), Ok(vec![]));
    let (_, _, after) = host.built();
    assert_eq!((&before[8..12], &before[12..16]), (&after[12..16], &after[8..12]));
}

#[test]
fn a_change_holds_from_the_next_advertisement_on() {
    let addresses = [ip("192.0.2.100")];
    let plain = repr(V3, &addresses);
    let form = ChecksumForm::PseudoHeader;
    for role in [Role::Backup, Role::Active] {
        let mut host = Host::new(role, config(V3));
        assert!(host.hear(&plain, form, GROUP).is_ok());
        // Addressing, in both directions.
        host.change(config(V3).with_addressing(Addressing::unicast([RIVAL_ABOVE]))).unwrap();
        assert_eq!(host.hear(&plain, form, GROUP), Err(Discard::Destination));
        assert!(host.hear(&plain, form, ME).is_ok());
        assert_eq!(host.built().1, RIVAL_ABOVE);
        host.change(config(V3).with_addressing(Addressing::multicast_from([RIVAL_BELOW]))).unwrap();
        assert_eq!(host.hear(&plain, form, GROUP), Err(Discard::NotPeer));
        assert_eq!(host.built().1, GROUP);
        // Strictness, and the checksum that is sent.
        host.change(config(V3).with_accepted_checksum(ChecksumAcceptance::MessageOnly)).unwrap();
        assert_eq!(host.hear(&plain, form, GROUP), Err(Discard::Checksum));
        assert!(host.hear(&plain, ChecksumForm::MessageOnly, GROUP).is_ok());
        // The source.
        host.change(config(V3).with_source(ip("192.0.2.77"))).unwrap();
        assert_eq!(host.built().0, ip("192.0.2.77"));
        // Version and authentication.
        host.change(config(Version::V2).with_authentication(password("secret"))).unwrap();
        assert_eq!(host.hear(&plain, form, GROUP), Err(Discard::Version(3)));
        assert_eq!(host.hear(&repr(Version::V2, &addresses), form, GROUP), Err(Discard::AuthTypeMismatch));
        let signed = Repr { authentication: password("secret"), ..repr(Version::V2, &addresses) };
        assert!(host.hear(&signed, form, GROUP).is_ok());
        let (source, destination, octets) = host.built();
        let packet = Packet::parse(&Envelope { source, destination, ttl: Some(255) }, &octets).unwrap();
        assert_eq!((packet.version(), packet.auth_data()), (Version::V2, Some(b"secret\0\0")));
        assert_eq!(host.role(), role);
    }
}

#[test]
fn what_would_be_another_virtual_router_is_refused_and_nothing_changes() {
    let six = Version::V3(Family::V6);
    let cases = [
        (
            VirtualRouterConfig::new(vrid(52), common::params(V3), [ip("192.0.2.100")]),
            "virtual router 51 cannot become virtual router 52: remove it and add the other one",
        ),
        (
            config(six),
            "virtual router 51 runs VRRPv3/IPv4 and cannot change to VRRPv3/IPv6: remove it and add the other one",
        ),
        (with_addresses(&[]), "virtual router 51 has no address: give it 1 to 255"),
        (config(V3).with_mtu(20), "virtual router 51 has 1 addresses: 0 fit into an MTU of 20"),
        (
            config(V3).with_addressing(Addressing::unicast([ME])),
            "192.0.2.10 is this host's own address: take it from the peers of virtual router 51",
        ),
        (
            config(V3).with_authentication(password("x")),
            "virtual router 51 has a password, but VRRPv3/IPv4 carries none: leave it out, or use VRRPv2",
        ),
        (
            config(V3).with_source(ip("fe80::1")),
            "fe80::1 cannot be the source of VRRPv3/IPv4 advertisements: it is not an IPv4 address",
        ),
    ];
    for role in [Role::Backup, Role::Active] {
        let mut host = Host::new(role, config(V3));
        let before = (host.config(), host.params(), host.router.state(host.id), host.router.poll_timeout());
        for (refused, why) in &cases {
            assert_eq!(host.change(refused.clone()).unwrap_err().to_string(), *why);
            let after = (host.config(), host.params(), host.router.state(host.id), host.router.poll_timeout());
            assert_eq!(before, after, "{why}");
            assert_eq!(host.actions(), []);
        }
        assert!(matches!(
            host.router.set_params(host.now, host.id, Params::new(six)),
            Err(ConfigError::OtherFamily { before: V3, .. })
        ));
        host.router.remove(host.now, host.id);
        assert_eq!(host.router.reconfigure(host.now, host.id, config(V3)), Err(ConfigError::Unknown));
    }
}

#[test]
fn an_ipv6_router_is_reconfigured_in_the_same_way() {
    let six = Version::V3(Family::V6);
    for role in [Role::Backup, Role::Active] {
        let mut host = Host::new(role, config(six));
        let mut changed = config(six).with_strict_address_list(true);
        changed.addresses = vec![ip("fe80::100"), ip("2001:db8::100")];
        let expected = if role == Role::Active { vec![InstallAddresses, Announce] } else { vec![] };
        assert_eq!(host.change(changed.clone()), Ok(expected));
        changed.addresses.reverse();
        assert_eq!(host.change(changed).unwrap_err(), ConfigError::FirstNotLinkLocal(vrid(51), ip("2001:db8::100")));
        assert_eq!(host.role(), role);
    }
}

#[test]
fn a_source_that_is_not_there_yet_takes_the_router_out_until_it_is() {
    let mut host = Host::new(Role::Active, config(V3));
    let source = ip("192.0.2.77");
    host.change(config(V3).with_source(source)).unwrap();
    host.router.set_primary_address(host.now, host.id, Some(ME)).unwrap();
    assert!(host.router.state(host.id).unwrap().faults().contains(Fault::PrimaryAddress));
    // The same source again is no news of it.
    host.change(config(V3).with_source(source)).unwrap();
    assert_eq!(host.role(), Role::Initialize);
    // Without a source any address will do; it has to be told.
    host.change(config(V3)).unwrap();
    assert_eq!(host.role(), Role::Initialize);
    host.router.set_primary_address(host.now, host.id, Some(ME)).unwrap();
    assert_eq!((host.role(), host.params().primary_address()), (Role::Backup, Some(ME)));
}

#[test]
fn the_configuration_tells_the_primary_address_that_is_used() {
    let mut host = Host::new(Role::Active, config(V3));
    let agree = |host: &Host| assert_eq!(host.config().params.primary_address(), host.params().primary_address());
    for address in [Some(ip("192.0.2.77")), None, Some(ME)] {
        host.router.set_primary_address(host.now, host.id, address).unwrap();
        assert_eq!(host.params().primary_address(), address);
        agree(&host);
        host.router.set_params(host.now, host.id, Params::new(V3)).unwrap();
        assert_eq!(host.params().primary_address(), address);
        agree(&host);
    }
}

#[test]
fn an_active_that_has_nothing_to_settle_any_more_calls_no_election() {
    let settling = common::params(V3).with_settle(Some(SECOND * 5));
    let mut host = Host::new(Role::Active, config(V3).with_params(settling));
    host.change(config(V3)).unwrap();
    for _ in 0..20 {
        let due = host.router.poll_timeout().unwrap();
        host.router.handle_timeout(due);
        assert!(matches!(host.actions()[..], [Action::SendAdvert(Claim { priority: Some(_), .. })]));
    }
}

#[test]
fn a_backup_that_changes_to_v2_waits_by_its_own_interval() {
    let mut host = Host::new(Role::Backup, config(V3));
    let mut slow = common::advert(RIVAL_ABOVE, 200);
    slow.interval = common::centiseconds(3000);
    host.router.handle_event(host.now, host.id, Event::Advert(slow));
    let heard = host.now;
    assert!(host.router.poll_timeout().unwrap() > heard + SECOND * 90);
    host.change(config(Version::V2)).unwrap();
    assert_eq!(host.router.poll_timeout(), Some(heard + Duration::from_micros(3_609_375)));
}
