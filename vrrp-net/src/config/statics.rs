//! What is on the host whatever the roles are.

use std::collections::BTreeMap;

use vrrp_core::IfIndex;

use super::address::Address;
use super::prefix::Prefix;
use super::route::{RouteProblem, VirtualRoute};
use super::rule::{RuleProblem, VirtualRule};
use crate::error::Error;

/// Addresses, routes and rules that this host has as long as the driver runs, whatever its roles are
/// (`static_ipaddress`, `static_routes` and `static_rules` of keepalived). To be given to
/// [`Driver::set_statics`](crate::Driver::set_statics).
///
/// ```
/// use vrrp_net::{Hop, Statics, VirtualRoute};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let statics = Statics::new()
///     .with_address("eth1", "198.51.100.1/24".parse()?)
///     .with_route(VirtualRoute::new("203.0.113.0/24".parse()?).via(Hop::through("198.51.100.254".parse()?)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Statics {
    /// Each on an interface.
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<VirtualRoute>,
    pub(crate) rules: Vec<VirtualRule>,
}

impl Statics {
    /// None.
    pub const fn new() -> Self {
        Self { addresses: Vec::new(), routes: Vec::new(), rules: Vec::new() }
    }

    /// This address of this interface, which need not exist: it gets the address once it does.
    pub fn with_address(mut self, interface: impl Into<String>, address: Address) -> Self {
        self.addresses.push(address.on_interface(interface));
        self
    }

    /// This route.
    pub fn with_route(mut self, route: VirtualRoute) -> Self {
        self.routes.push(route);
        self
    }

    /// This rule.
    pub fn with_rule(mut self, rule: VirtualRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The addresses, each with its [interface](Address::interface).
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The routes.
    pub fn routes(&self) -> &[VirtualRoute] {
        &self.routes
    }

    /// The rules.
    pub fn rules(&self) -> &[VirtualRule] {
        &self.rules
    }

    /// Whether the kernel can have them.
    ///
    /// # Errors
    /// [`Error::Route`], [`Error::Rule`], [`Error::BadAddress`].
    pub fn check(&self) -> Result<(), Error> {
        // Which interface it is makes no difference.
        if let Ok(any) = IfIndex::new(1) {
            self.addresses.iter().try_for_each(|address| address.lasting_request(any).check())?;
        }
        check_paths(&self.routes, &self.rules)
    }
}

/// Whether the kernel can have these, and none of them is there twice.
pub(crate) fn check_paths(routes: &[VirtualRoute], rules: &[VirtualRule]) -> Result<(), Error> {
    let mut known: BTreeMap<Prefix, Vec<&VirtualRoute>> = BTreeMap::new();
    for route in routes {
        route.check()?;
        let like_it = known.entry(route.destination).or_default();
        if like_it.contains(&route) {
            return Err(route.error(RouteProblem::Twice).into());
        }
        like_it.push(route);
    }
    let mut known: BTreeMap<u32, Vec<&VirtualRule>> = BTreeMap::new();
    for rule in rules {
        rule.check()?;
        let like_it = known.entry(rule.priority).or_default();
        if like_it.contains(&rule) {
            return Err(rule.error(RuleProblem::Twice).into());
        }
        like_it.push(rule);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuleAction;
    use vrrp_core::Family;

    #[test]
    fn nothing_is_there_twice_and_every_part_is_checked() {
        let route = || VirtualRoute::new(Prefix::DEFAULT_V4).with_kind(crate::RouteKind::Blackhole);
        let rule = || VirtualRule::new(Family::V4, 7, RuleAction::Table(7));
        let good = Statics::new().with_route(route()).with_route(route().with_metric(1)).with_rule(rule());
        assert!(good.clone().with_rule(rule().inverted().with_mark(1, 1)).check().is_ok());
        let text = |statics: Statics| statics.check().unwrap_err().to_string();
        assert_eq!(text(good.clone().with_route(route())), "route blackhole 0.0.0.0/0: it is given twice");
        assert_eq!(text(good.clone().with_rule(rule())), "rule 7: from all table 7: it is given twice");
        let labelled: Address = "2001:db8::1/64".parse().unwrap();
        let labelled = labelled.with_label("eth0:x".parse().unwrap());
        assert!(text(good.with_address("eth0", labelled)).contains("2001:db8::1/64"));
    }
}
