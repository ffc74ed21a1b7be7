//! What is on the host whatever the roles are.

use super::address::Address;
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
    /// [`Error::Route`], [`Error::Rule`].
    pub fn check(&self) -> Result<(), Error> {
        check_paths(&self.routes, &self.rules)
    }
}

/// Whether the kernel can have these, and none of them is there twice.
pub(crate) fn check_paths(routes: &[VirtualRoute], rules: &[VirtualRule]) -> Result<(), Error> {
    for (number, route) in routes.iter().enumerate() {
        route.check()?;
        if routes.iter().take(number).any(|earlier| earlier == route) {
            return Err(route.error(RouteProblem::Twice).into());
        }
    }
    for (number, rule) in rules.iter().enumerate() {
        rule.check()?;
        if rules.iter().take(number).any(|earlier| earlier == rule) {
            return Err(rule.error(RuleProblem::Twice).into());
        }
    }
    Ok(())
}
