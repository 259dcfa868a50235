//! Stories of clients that do not keep up, hear nothing, or do not get on, and of what it costs the others.

mod common;

use std::time::Duration;

use common::{assert_identical, slowest, small_room};
use multicast_core::layout::Geometry;
use multicast_core::pace::Rate;
use multicast_core::sender::{ClientState, Ladder, LadderConfig, Rung, SenderEvent};
use multicast_core::sim::{LinkModel, Room, RoomConfig};

const SEED: u64 = 5;

/// Seven clients, and an image of 10 s at 100 Mbit/s in blocks as large as real ones.
fn room() -> RoomConfig {
    let image_symbols = 80_000;
    // Symbols of four bytes would make the manifest a hundredth of the image.
    let geometry = Geometry { symbol_size: 64, ..RoomConfig::new(SEED, image_symbols, 7).geometry };
    RoomConfig {
        geometry,
        staging: 4 * 1024 * 64,
        silence: Duration::from_secs(30),
        ..small_room(SEED, image_symbols, 7)
    }
}

fn with(ladder: LadderConfig) -> Room {
    Room::new(RoomConfig { ladder, ..room() })
}

fn mbit(mbit: u64) -> LinkModel {
    LinkModel::behind(Rate::from_mbit(mbit))
}

/// To which streams client `number` was moved.
fn moves(room: &Room, number: usize) -> Vec<Rung> {
    let id = room.client_id(number);
    let moved = |event: &SenderEvent| match event {
        SenderEvent::ClientMoved { client, to, .. } if *client == id => Some(*to),
        _ => None,
    };
    room.events().iter().filter_map(|(_, event)| moved(event)).collect()
}

fn state(room: &Room, number: usize) -> ClientState {
    let session = room.session().expect("the server runs");
    let id = room.client_id(number);
    session.clients.iter().find(|client| client.client == id).expect("it was admitted").state
}

/// The seven without anybody else.
fn undisturbed() -> Duration {
    let mut room = Room::new(room());
    room.run_to_end();
    slowest(&room, 0..7)
}

/// How long client `number` took, by what its port alone needs for the image.
fn beside_port(room: &Room, number: usize, port: u64) -> f64 {
    let alone = room.image_time().as_secs_f64() * room.config().rate.bits() as f64 / (port as f64 * 1e6);
    room.completion(number).expect("complete").as_secs_f64() / alone
}

#[test]
fn one_behind_a_tenth_of_the_rate_costs_the_others_nothing_and_ends_by_unicast() {
    let mut room = with(LadderConfig::default());
    let slow = room.join_with(mbit(10));
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    let (others, alone) = (slowest(&room, 0..7), undisturbed());
    assert!(others <= alone.mul_f64(1.02), "{others:?} instead of {alone:?}");
    assert_eq!(moves(&room, slow), [Rung::Unicast]);
    let ratio = beside_port(&room, slow, 10);
    assert!(ratio < 1.15, "{ratio} of its port's time");
    assert_eq!(state(&room, slow), ClientState::Complete);
}

#[test]
fn with_a_slower_stream_it_changes_over_at_once_and_costs_the_others_that_streams_share() {
    let mut room = with(LadderConfig { slower_stream: true, unicast: 0, ..LadderConfig::default() });
    let slow = room.join_with(mbit(10));
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    let (others, alone) = (slowest(&room, 0..7), undisturbed());
    assert!(others <= alone.mul_f64(1.05), "{others:?} instead of {alone:?}");
    assert_eq!(moves(&room, slow), [Rung::Slower]);
    let ratio = beside_port(&room, slow, 10);
    assert!(ratio < 1.2, "{ratio} of its port's time");
    assert!(room.events().iter().any(|(_, e)| matches!(e, SenderEvent::StreamClosed { rung: Rung::Slower, .. })));
}

#[test]
fn who_does_not_hear_the_group_gets_the_image_by_unicast() {
    let mut room = with(LadderConfig::default());
    let deaf = room.join_with(LinkModel { deaf: true, ..LinkModel::CLEAN });
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    assert_eq!(moves(&room, deaf), [Rung::Unicast]);
    let (others, alone) = (slowest(&room, 0..7), undisturbed());
    assert!(others <= alone.mul_f64(1.05), "{others:?} instead of {alone:?}");
}

#[test]
fn a_session_starts_and_ends_though_nobody_hears_the_group() {
    let link = LinkModel { deaf: true, ..LinkModel::lossy(0.01) };
    let mut room = Room::new(RoomConfig { clients: 3, link, start: Default::default(), ..room() });
    room.run_to_end();
    assert_identical(&room, SEED, 0..3);
    assert!((0..3).all(|number| state(&room, number) == ClientState::Complete));
}

#[test]
fn without_unicast_who_does_not_hear_the_group_ends_with_that_error_and_the_others_go_on() {
    let mut room = with(LadderConfig { unicast: 0, ..LadderConfig::default() });
    let deaf = room.join_with(LinkModel { deaf: true, ..LinkModel::CLEAN });
    room.run_until(|room| room.failure(deaf).is_some());
    assert!(room.failure(deaf).unwrap().contains("nothing is heard of group"));
    assert_identical(&room, SEED, 0..7);
}

#[test]
fn who_takes_in_less_than_the_least_rate_is_evicted_and_told_why() {
    let least_rate = Some(Rate::from_mbit(5));
    let mut room = with(LadderConfig { least_rate, ..LadderConfig::default() });
    let slow = room.join_with(mbit(2));
    room.run_to_end();
    assert_identical(&room, SEED, 0..7);
    assert_eq!(state(&room, slow), ClientState::Evicted);
    let failure = room.failure(slow).expect("it ended");
    assert!(
        failure.starts_with("given up by the server: it takes in") && failure.contains("less than 5mbit"),
        "{failure}"
    );
}

#[test]
fn ten_behind_ports_of_their_own_are_done_in_little_more_than_their_ports_time() {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut room = Room::new(RoomConfig { clients: 0, start: Default::default(), ..room() });
    let ports: Vec<u64> = (0..10).map(|_| rng.u64(10..=100)).collect();
    for &port in &ports {
        room.join_with(mbit(port));
    }
    room.run_to_end();
    assert_identical(&room, SEED, 0..10);
    for (number, &port) in ports.iter().enumerate() {
        let ratio = beside_port(&room, number, port);
        assert!(ratio < 1.5, "behind {port} Mbit/s: {ratio} of its port's time; all ports: {ports:?}");
    }
}

#[test]
fn one_that_is_switched_off_while_served_by_unicast_comes_back_and_finishes() {
    let mut room = with(LadderConfig::default());
    let slow = room.join_with(mbit(10));
    room.run_until(|room| !moves(room, slow).is_empty());
    room.run_for(Duration::from_secs(5));
    room.kill(slow);
    room.run_for(Duration::from_secs(2));
    room.restart(slow);
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn one_that_dies_while_served_by_unicast_is_given_up_and_ends_the_session() {
    let mut room = with(LadderConfig::default());
    let slow = room.join_with(mbit(10));
    room.run_until(|room| !moves(room, slow).is_empty());
    room.kill(slow);
    room.run_to_end();
    assert_identical(&room, SEED, 0..7);
    assert_eq!(state(&room, slow), ClientState::GivenUp);
}

#[test]
fn a_client_that_comes_when_only_slow_ones_are_left_is_served_as_usual() {
    let mut room = with(LadderConfig::default());
    let slow = room.join_with(mbit(5));
    room.run_until(|room| !moves(room, slow).is_empty());
    room.run_for(Duration::from_secs(10));
    let late = room.join();
    room.run_to_end();
    assert_identical(&room, SEED, 0..room.len());
    let took = room.completion(late).unwrap();
    assert!(took <= room.image_time().mul_f64(1.1), "{took:?}");
}

#[test]
fn cancelling_ends_all_streams_and_says_so_to_everybody() {
    let mut room = with(LadderConfig { slower_stream: true, ..LadderConfig::default() });
    let slow = room.join_with(mbit(10));
    let deaf = room.join_with(LinkModel { deaf: true, ..LinkModel::CLEAN });
    room.run_until(|room| moves(room, slow) == [Rung::Slower] && moves(room, deaf) == [Rung::Unicast]);
    room.run_for(Duration::from_secs(1));
    room.command(Ladder::cancel);
    room.run_to_end();
    for number in 0..room.len() {
        assert_eq!(room.failure(number).unwrap_or_default(), "the session was cancelled by its operator", "{number}");
    }
}

#[test]
fn the_operator_can_remove_a_client_from_any_stream_and_pause_them_all() {
    let mut room = with(LadderConfig::default());
    let (slow, slower) = (room.join_with(mbit(10)), room.join_with(mbit(8)));
    room.run_until(|room| !moves(room, slow).is_empty() && !moves(room, slower).is_empty());
    room.run_for(Duration::from_secs(2));
    room.command(|session, _| session.pause());
    room.run_for(Duration::from_secs(1));
    let before = room.session().unwrap().counters.symbols;
    room.run_for(Duration::from_secs(10));
    assert_eq!(room.session().unwrap().counters.symbols, before);
    room.command(Ladder::resume);
    let id = room.client_id(slower);
    assert_eq!(room.command(|session, now| session.remove(now, id)), Some(true));
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    assert_eq!(state(&room, slower), ClientState::Removed);
}
