//! A [`Lan`] as `stateright` explores it: the moves that are possible, and what must hold.

use super::*;

impl Model for Lan {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            nodes: vec![Node::down(); self.params.len()],
            flight: Vec::new(),
            budget: self.budget,
            phase: 0,
            overlap: 0,
            wrong: None,
        }]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        if world.wrong.is_some() {
            return;
        }
        let budget = world.budget;
        let may = |condition: bool, count: u8, choice: Move| (condition && count > 0).then_some(choice);
        for (at, message) in world.flight.iter().copied().enumerate() {
            if at > 0 && world.flight[at - 1] == message {
                continue;
            }
            if !world.nodes[message.to].stalled {
                moves.push(Move::Deliver(message));
                moves.extend(may(true, budget.copies, Move::Copy(message)));
            }
            moves.extend(may(true, budget.losses, Move::Lose(message)));
        }
        let on_grid = world.phase == 0;
        for (n, node) in world.nodes.iter().enumerate() {
            moves.extend(may(!node.running && on_grid, budget.starts, Move::Start(n)));
            if !node.running {
                continue;
            }
            moves.extend(may(true, budget.crashes, Move::Crash(n)));
            if node.stalled {
                moves.extend(may(on_grid, 1, Move::Resume(n)));
                continue;
            }
            moves.extend(may(self.due(world, n), 1, Move::Fire(n)));
            moves.extend(may(node.asked.is_some() && on_grid, 1, Move::Confirm(n)));
            moves.extend(may(node.asked.is_some() && on_grid, budget.refusals, Move::Refuse(n)));
            moves.extend(may(node.stale.is_some() && on_grid, budget.late_answers, Move::ConfirmLate(n)));
            moves.extend(may(on_grid, budget.stops, Move::Stop(n)));
            moves.extend(may(on_grid, budget.stalls, Move::Stall(n)));
            moves.extend(may(on_grid, budget.health, Move::Health(n)));
            for after in [After::Stay, After::Leave] {
                let active = node.state.role() == Role::Active;
                moves.extend(may(active && on_grid, budget.hand_overs, Move::HandOver(n, after)));
            }
        }
        if self.pass(world).is_some() {
            moves.push(Move::Pass);
        }
    }

    fn next_state(&self, world: &World, choice: Move) -> Option<World> {
        let mut world = world.clone();
        self.make(&mut world, choice);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn never<const N: usize>() -> Property<Lan> {
            Property::always(ALL_WRONGS[N].1, |_: &Lan, world: &World| world.wrong != Some(ALL_WRONGS[N].0))
        }
        fn active(world: &World) -> usize {
            world.nodes.iter().filter(|node| node.running && node.state.role() == Role::Active).count()
        }
        vec![
            never::<0>(),
            never::<1>(),
            never::<2>(),
            never::<3>(),
            never::<4>(),
            never::<5>(),
            never::<6>(),
            Property::always(
                "from here, faults over, one router is Active within the bound",
                |lan: &Lan, world: &World| world.wrong.is_some() || lan.recovery(world) <= lan.bound,
            ),
            // That the checker gets anywhere.
            Property::sometimes("one router is Active and every other one follows it", |lan: &Lan, world: &World| {
                world.nodes.iter().all(|node| node.running) && active(world) == 1 && lan.is_settled(world)
            }),
        ]
    }
}
