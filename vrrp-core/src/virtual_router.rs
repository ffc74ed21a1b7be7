//! One virtual router: its parameters and its state, still without allocation.

use core::net::IpAddr;

use crate::{Actions, Event, Fault, Instant, Params, ParamsError, Priority, State, Timer, step};

/// One virtual router: [`Params`] and [`State`] kept together.
///
/// For an application with one or a few virtual routers and its own way to look them up and to time them;
/// [`VrrpRouter`](crate::VrrpRouter) does both for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VirtualRouter {
    params: Params,
    state: State,
}

impl VirtualRouter {
    /// A virtual router that was not started yet.
    pub const fn new(params: Params) -> Self {
        Self { params, state: State::new() }
    }

    /// One that goes on from a stored state.
    pub const fn resume(params: Params, state: State) -> Self {
        Self { params, state }
    }

    /// Applies `event` and returns what to do, in order.
    ///
    /// Changes [`poll_timeout`](Self::poll_timeout).
    #[must_use = "actions that are not carried out leave hosts and state apart"]
    pub fn handle_event(&mut self, now: Instant, event: Event) -> Actions {
        let step = step(&self.params, self.state, now, event);
        self.state = step.state;
        step.actions
    }

    /// Fires what is due. May be called at any time: early calls do nothing.
    #[must_use = "actions that are not carried out leave hosts and state apart"]
    pub fn handle_timeout(&mut self, now: Instant) -> Actions {
        self.handle_event(now, Event::Timeout)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next. Ask again after every other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline().map(|(at, _)| at)
    }

    /// As [`poll_timeout`](Self::poll_timeout), with the timer that fires then.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        self.state.deadline()
    }

    /// Replaces the parameters without leaving the role. What tracking added to the configured priority or took from it
    /// stays, until [`set_effective_priority`](Self::set_effective_priority) says otherwise.
    #[must_use = "actions that are not carried out leave hosts and state apart"]
    pub fn set_params(&mut self, now: Instant, params: Params) -> Actions {
        self.params = params.tracked_as(&self.params);
        self.handle_event(now, Event::Reconfigured)
    }

    /// Tells the priority that tracking leaves of the configured one ([`track::assess`](crate::track::assess)); the
    /// configured one itself if nothing is bad.
    #[must_use = "actions that are not carried out leave hosts and state apart"]
    pub fn set_effective_priority(&mut self, now: Instant, priority: Priority) -> Actions {
        self.params = self.params.with_effective_priority(priority);
        self.handle_event(now, Event::Reconfigured)
    }

    /// Tells which address advertisements can be sent from. Without one the router leaves the election until there is
    /// one again (RFC 9568 §5.1.1.1 asks for the primary address as source).
    ///
    /// # Errors
    /// [`ParamsError::PrimaryAddress`] if it is of the other family; nothing changes then.
    pub fn set_primary_address(&mut self, now: Instant, address: Option<IpAddr>) -> Result<Actions, ParamsError> {
        self.params = self.params.with_primary_address(address)?;
        Ok(match address {
            Some(_) => self.handle_event(now, Event::Recovered(Fault::PrimaryAddress)),
            None => self.handle_event(now, Event::Fault(Fault::PrimaryAddress)),
        })
    }

    /// The parameters.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }
}
