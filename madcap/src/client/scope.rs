//! Which scope to take addresses from: configured, or asked for.

use std::net::Ipv4Addr;

use super::shared::{Due, Exchange, Shared};
use super::{Answer, Asked, ChosenScope, Event};
use crate::lease::is_usable_group;
use crate::wire::{Kind, OptionCode, Options, Scope};
use crate::{LOCAL_SCOPE, LeaseId, Time};

/// The search for a scope.
pub(super) struct ScopeSearch {
    stage: Stage,
    failures: u32,
    /// What was told last.
    told: Option<ChosenScope>,
}

enum Stage {
    /// Nobody has wanted to know yet.
    Idle,
    Asking {
        id: LeaseId,
        exchange: Exchange,
        /// Somebody has answered, without a scope of use: a default is better than nothing.
        fruitless: bool,
    },
    Resting {
        until: Time,
    },
    Known(Ipv4Addr),
}

impl ScopeSearch {
    pub(super) fn new(configured: Option<Ipv4Addr>) -> Self {
        Self { stage: configured.map_or(Stage::Idle, Stage::Known), failures: 0, told: None }
    }

    pub(super) fn known(&self) -> Option<Ipv4Addr> {
        match self.stage {
            Stage::Known(scope) => Some(scope),
            _ => None,
        }
    }

    /// Begins to search, unless that is under way or not needed.
    pub(super) fn want(&mut self, shared: &mut Shared, now: Time) {
        if matches!(self.stage, Stage::Idle) {
            self.ask(shared, now);
        }
    }

    /// Nothing came of the scope that was known: it is asked for again, when it is wanted again.
    pub(super) fn doubt(&mut self, shared: &Shared) {
        if shared.config.scope.is_none() && self.known().is_some() {
            self.stage = Stage::Idle;
        }
    }

    /// Whether an answer was to this question.
    pub(super) fn handle_answer(&mut self, shared: &mut Shared, answer: &Answer<'_>) -> bool {
        let Stage::Asking { id, exchange, fruitless } = &mut self.stage else { return false };
        if answer.id != id.as_bytes() || !exchange.is_answered_by(&answer.message) {
            return false;
        }
        shared.answers(Asked::Scopes, answer.from);
        let scopes = answer.message.options.scopes.as_deref().unwrap_or_default();
        match choose(scopes).filter(|_| answer.message.kind == Kind::Ack) {
            Some(scope) => {
                self.stage = Stage::Known(scope.first);
                self.failures = 0;
                if self.told.as_ref() != Some(&scope) {
                    self.told = Some(scope.clone());
                    shared.event(Event::ScopeChosen { scope });
                }
            }
            // Another server may know better: until the question would be repeated.
            None => *fruitless = true,
        }
        true
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Time) {
        match &mut self.stage {
            Stage::Asking { exchange, fruitless, .. } if *fruitless && now >= exchange.next => {
                self.stage = Stage::Known(LOCAL_SCOPE);
            }
            Stage::Asking { exchange, .. } => {
                let longest = shared.config.timing.longest;
                if exchange.handle_timeout(shared, now, longest) == Due::GivenUp {
                    self.failures += 1;
                    self.stage = Stage::Resting { until: now.saturating_add(shared.rest(self.failures)) };
                }
            }
            Stage::Resting { until } if now >= *until => self.ask(shared, now),
            _ => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match &self.stage {
            Stage::Asking { exchange, .. } => Some(exchange.next),
            Stage::Resting { until } => Some(*until),
            Stage::Idle | Stage::Known(_) => None,
        }
    }

    /// Nobody wants to know any more.
    pub(super) fn stop(&mut self) {
        if !matches!(self.stage, Stage::Known(_)) {
            self.stage = Stage::Idle;
        }
    }

    fn ask(&mut self, shared: &mut Shared, now: Time) {
        let id = shared.new_id();
        let options = Options {
            lease_id: Some(id.as_bytes()),
            request_list: Some(vec![OptionCode::ScopeList as u16]),
            ..Options::default()
        };
        let to = vec![shared.anybody()];
        let exchange = Exchange::start(shared, now, Asked::Scopes, to, options);
        self.stage = Stage::Asking { id, exchange, fruitless: false };
    }
}

/// The first administratively scoped one (RFC 2365), else the first that has a usable group.
fn choose(scopes: &[Scope<'_>]) -> Option<ChosenScope> {
    let administrative = |scope: &&Scope<'_>| scope.first.octets()[0] == 239 && scope.last.octets()[0] == 239;
    // A scope that ends where groups are usable has one at least: its last.
    let usable = |scope: &&Scope<'_>| is_usable_group(scope.last) && scope.first.is_multicast();
    let scope = scopes.iter().find(administrative).or_else(|| scopes.iter().find(usable))?;
    Some(ChosenScope { first: scope.first, last: scope.last, ttl: scope.ttl, name: scope.name() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(first: [u8; 4], last: [u8; 4]) -> Scope<'static> {
        Scope { first: first.into(), last: last.into(), ttl: 15, names: Vec::new() }
    }

    #[test]
    fn an_administrative_scope_is_preferred_and_an_unusable_one_never_taken() {
        let world = scope([224, 0, 1, 0], [238, 255, 255, 255]);
        let control = scope([224, 0, 0, 0], [224, 0, 0, 255]);
        let site = scope([239, 192, 0, 0], [239, 195, 255, 255]);
        let chosen = |scopes: &[&Scope<'static>]| {
            let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).clone()).collect();
            choose(&scopes).map(|scope| scope.first)
        };
        assert_eq!(chosen(&[&world, &site]), Some(site.first));
        assert_eq!(chosen(&[&control, &world]), Some(world.first));
        assert_eq!(chosen(&[&control]), None);
        assert_eq!(chosen(&[]), None);
    }
}
