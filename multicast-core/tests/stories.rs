//! Stories of people and machines: who joins, dies, comes back, and what an operator commands.

mod common;

use std::time::Duration;

use common::{assert_identical, slowest, small_room};
use multicast_core::sender::{ClientState, EndCause, Ladder, SenderEvent, StartCause, StartPolicy};
use multicast_core::sim::{LinkModel, Room, RoomConfig};
use multicast_core::types::BlockIndex;
use multicast_core::wire::SessionState;

const SEED: u64 = 11;
const SYMBOLS: u32 = 16_000;

/// Eight clients that lose one datagram in a hundred.
fn lossy_room() -> RoomConfig {
    RoomConfig { link: LinkModel::lossy(0.01), ..small_room(SEED, SYMBOLS, 8) }
}

/// The same with an image of sixteen seconds and blocks as large as real ones.
fn long_room() -> RoomConfig {
    let image_symbols = 8 * SYMBOLS;
    RoomConfig { image_symbols, geometry: RoomConfig::new(SEED, image_symbols, 8).geometry, ..lossy_room() }
}

/// Clients 0 to 6 took no more than 3 % longer than they do when nothing happens to client 7.
fn assert_undisturbed(room: &Room) {
    let mut clean = Room::new(room.config().clone());
    clean.run_to_end();
    let (clean, others) = (slowest(&clean, 0..7), slowest(room, 0..7));
    assert!(others <= clean.mul_f64(1.03), "seed {SEED}: {others:?} instead of {clean:?}");
}

fn happened(room: &Room, what: impl Fn(&SenderEvent) -> bool) -> bool {
    room.events().iter().any(|(_, event)| what(event))
}

fn ended(room: &Room) -> Option<EndCause> {
    room.events().iter().find_map(|(_, event)| match event {
        SenderEvent::Ended { cause } => Some(*cause),
        _ => None,
    })
}

// Late joiners.

fn late_joiner(at: f64) -> (Room, usize) {
    let mut room = Room::new(long_room());
    room.run_until(|room| room.sent_fraction() >= at);
    let late = room.join();
    room.run_to_end();
    assert_identical(&room, SEED, 0..room.len());
    (room, late)
}

fn assert_late(at: f64, session: f64) {
    let (room, late) = late_joiner(at);
    let completion = room.completion(late).expect("complete").as_secs_f64() / room.image_time().as_secs_f64();
    assert!(completion <= 1.1, "seed {SEED}: complete {completion} image times after its join");
    let sent = room.sent_fraction();
    assert!(sent <= session, "seed {SEED}: {sent} times the image sent");
}

#[test]
fn a_client_that_joins_at_a_tenth_takes_what_flows_by_and_only_the_beginning_is_replayed() {
    assert_late(0.1, 1.2);
}

#[test]
fn a_client_that_joins_at_half_time_makes_the_session_send_half_the_image_again() {
    assert_late(0.5, 1.6);
}

#[test]
fn a_client_that_joins_near_the_end_gets_a_replay_of_what_it_missed() {
    assert_late(0.9, 2.0);
}

#[test]
fn late_joiners_do_not_slow_those_who_were_there() {
    let (room, _) = late_joiner(0.5);
    assert_undisturbed(&room);
}

#[test]
fn a_session_that_is_kept_open_serves_who_comes_when_all_are_done() {
    let mut room = Room::new(RoomConfig { keep_open: true, ..lossy_room() });
    room.run_to_end();
    assert_eq!(room.session().map(|s| s.state), Some(SessionState::Idle));
    room.run_for(Duration::from_secs(60));
    let late = room.join();
    room.run_until(|room| room.is_identical(late));
    room.run_to_end();
    assert_late_completion(&room, late);
    assert_eq!(ended(&room), None, "it stays open");
    room.command(Ladder::cancel);
    room.run_to_end();
    assert_eq!(ended(&room), Some(EndCause::Cancelled));
}

fn assert_late_completion(room: &Room, late: usize) {
    let completion = room.completion(late).expect("complete");
    assert!(completion <= room.image_time().mul_f64(1.1), "seed {SEED}: {completion:?}");
}

// One of the eight is lost.

fn given_up(room: &Room, number: usize) -> bool {
    let lost = room.client_id(number);
    happened(room, |event| matches!(event, SenderEvent::ClientGivenUp { client, .. } if *client == lost))
}

#[test]
fn a_frozen_client_is_given_up_and_named_and_costs_the_others_nothing() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.3);
    room.freeze(7, true);
    room.run_to_end();
    assert!(given_up(&room, 7), "seed {SEED}");
    assert_identical(&room, SEED, 0..7);
    assert_undisturbed(&room);
}

#[test]
fn a_killed_client_is_given_up_and_costs_the_others_nothing() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.3);
    room.kill(7);
    room.run_to_end();
    assert!(given_up(&room, 7), "seed {SEED}");
    assert_identical(&room, SEED, 0..7);
    assert_undisturbed(&room);
}

#[test]
fn a_client_whose_cable_is_pulled_for_good_is_given_up_and_costs_the_others_nothing() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.3);
    room.cut(7, true);
    room.run_to_end();
    assert!(given_up(&room, 7), "seed {SEED}");
    assert_identical(&room, SEED, 0..7);
    assert_undisturbed(&room);
}

#[test]
fn a_client_whose_cable_is_pulled_for_a_while_catches_up() {
    for seconds in [0.2, 1.0, 5.0] {
        let mut room = Room::new(long_room());
        room.run_until(|room| room.sent_fraction() >= 0.3);
        room.cut(7, true);
        room.run_for(Duration::from_secs_f64(seconds));
        room.cut(7, false);
        room.run_to_end();
        assert_identical(&room, SEED, 0..8);
        assert_undisturbed(&room);
    }
}

#[test]
fn a_client_that_was_given_up_comes_back_while_the_session_lasts() {
    let mut room = Room::new(RoomConfig { silence: Duration::from_secs(1), keep_open: true, ..lossy_room() });
    room.run_until(|room| room.sent_fraction() >= 0.3);
    room.freeze(7, true);
    room.run_until(|room| given_up(room, 7));
    room.freeze(7, false);
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn a_client_whose_disk_fills_leaves_and_says_why() {
    let mut room = Room::new(lossy_room());
    room.limit_disk(7, SYMBOLS as usize / 2);
    room.run_to_end();
    assert!(room.failure(7).is_some_and(|why| why.contains("write")), "seed {SEED}: {:?}", room.failure(7));
    let lost = room.client_id(7);
    let told = |event: &SenderEvent| matches!(event, SenderEvent::ClientLeft { client, .. } if *client == lost);
    assert!(happened(&room, told));
    assert_identical(&room, SEED, 0..7);
    assert_undisturbed(&room);
}

// Crash and resume.

#[test]
fn a_client_that_crashes_takes_up_what_it_had_verified() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.6);
    let had = room.verified_blocks(3).len();
    assert!(had > 100, "seed {SEED}: {had}");
    room.kill(3);
    room.run_for(Duration::from_millis(300));
    room.restart(3);
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    assert_eq!(room.verified_blocks(3).len(), 500, "seed {SEED}: no block was verified twice");
    // What flowed by while it was off, the blocks that were not complete, and the usual repair.
    assert!(room.sent_fraction() < 1.35, "seed {SEED}: {}", room.sent_fraction());
}

#[test]
fn a_client_that_has_everything_already_is_done_at_once_and_counts_as_present() {
    let mut room = Room::new(lossy_room());
    room.run_to_end();
    let sent = room.sent_fraction();
    for number in 0..8 {
        room.restart(number);
    }
    room.kill_server();
    room.start_server();
    room.run_to_end();
    assert_eq!(room.sent_fraction(), sent, "seed {SEED}: nothing is sent again");
    assert_eq!(ended(&room), Some(EndCause::Finished));
}

#[test]
fn one_that_has_everything_and_seven_that_have_nothing_make_a_threshold_of_eight() {
    let mut room =
        Room::new(RoomConfig { start: StartPolicy { clients: Some(1), ..StartPolicy::default() }, ..lossy_room() });
    for number in 1..8 {
        room.kill(number);
    }
    room.run_to_end();
    assert_identical(&room, SEED, [0]);
    room.kill_server();
    let mut room = with_start(room, StartPolicy { clients: Some(8), ..StartPolicy::default() });
    (0..8).for_each(|number| room.restart(number));
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
}

fn with_start(mut room: Room, start: StartPolicy) -> Room {
    room.set_start(start);
    room.start_server();
    room
}

#[test]
fn a_server_that_dies_at_half_time_goes_on_without_sending_again_what_all_have_verified() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.5);
    room.kill_server();
    let had: Vec<Vec<BlockIndex>> = (0..8).map(|number| room.verified_blocks(number)).collect();
    let common: Vec<BlockIndex> =
        had[0].iter().copied().filter(|b| had.iter().all(|blocks| blocks.contains(b))).collect();
    assert!(common.len() > 80, "seed {SEED}: {}", common.len());
    room.run_for(Duration::from_secs(2));
    room.start_server();
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    let again: Vec<_> = common.iter().filter(|block| room.sent_of(**block) > 0).collect();
    assert!(again.is_empty(), "seed {SEED}: sent again: {again:?}");
}

#[test]
fn a_server_that_dies_while_it_waits_starts_with_the_same_clients() {
    let mut room =
        Room::new(RoomConfig { start: StartPolicy { clients: Some(9), ..StartPolicy::default() }, ..lossy_room() });
    room.run_for(Duration::from_secs(1));
    room.kill_server();
    room.start_server();
    room.run_for(Duration::from_secs(5));
    room.join();
    room.run_to_end();
    assert_identical(&room, SEED, 0..9);
}

// Start, pause, cancel, remove, full.

fn cause_of_start(room: &Room) -> Option<(StartCause, u32)> {
    room.events().iter().find_map(|(_, event)| match event {
        SenderEvent::Started { cause, clients } => Some((*cause, *clients)),
        _ => None,
    })
}

#[test]
fn it_starts_when_the_first_client_has_waited_long_enough() {
    let wait = Duration::from_secs(30);
    let start = StartPolicy { clients: Some(9), wait: Some(wait), ..StartPolicy::default() };
    let mut room = Room::new(RoomConfig { start, ..lossy_room() });
    room.run_to_end();
    assert_eq!(cause_of_start(&room), Some((StartCause::Wait, 8)));
    assert!(slowest(&room, 0..8) >= wait);
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn it_starts_at_its_hour_with_whoever_is_there() {
    let hour = Duration::from_secs(300);
    let start = StartPolicy { clients: Some(9), after: Some(hour), ..StartPolicy::default() };
    let mut room = Room::new(RoomConfig { start, ..lossy_room() });
    room.run_to_end();
    assert_eq!(cause_of_start(&room), Some((StartCause::Clock, 8)));
    assert!(slowest(&room, 0..8) >= hour);
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn its_picture_shows_what_each_client_holds_and_it_closes_only_when_nobody_is_served() {
    let mut room = Room::new(RoomConfig { keep_open: true, ..lossy_room() });
    let covered = |room: &mut Room| room.command(|ladder, _| ladder.coverage(4)).unwrap();
    let all_begun = |room: &Room| {
        room.session().is_some_and(|s| s.clients.len() == 8 && s.clients.iter().all(|client| client.verified > 4))
    };
    room.run_until(all_begun);
    let half = covered(&mut room);
    assert!(half.len() == 8 && half.iter().all(|client| client.columns != [0; 4] && client.columns != [255; 4]));
    assert_eq!(room.command(Ladder::close), Some(false), "eight clients are being served");
    room.run_until(|room| room.session().is_some_and(|session| session.state == SessionState::Idle));
    assert!(covered(&mut room).iter().all(|client| client.columns == [255; 4]));
    assert_eq!(room.command(Ladder::close), Some(true));
    room.run_to_end();
    assert!(room.events().iter().any(|(_, event)| *event == SenderEvent::Ended { cause: EndCause::Finished }));
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn clients_of_a_suspended_session_keep_what_they_have_and_end_with_its_successor() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.session().is_some_and(|s| s.clients.len() == 8 && s.clients[0].verified > 20));
    room.command(Ladder::suspend);
    room.run_for(Duration::from_secs(1));
    assert!(room.events().iter().any(|(_, event)| *event == SenderEvent::Ended { cause: EndCause::Suspended }));
    room.kill_server();
    room.run_for(Duration::from_secs(3));
    room.start_server();
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn it_starts_on_command_only() {
    let start = StartPolicy { on_command: true, ..StartPolicy::default() };
    let mut room = Room::new(RoomConfig { start, ..lossy_room() });
    room.run_for(Duration::from_secs(120));
    assert_eq!(cause_of_start(&room), None);
    room.command(Ladder::start);
    room.run_to_end();
    assert_eq!(cause_of_start(&room), Some((StartCause::Command, 8)));
    assert_identical(&room, SEED, 0..8);
}

#[test]
fn a_paused_session_sends_nothing_and_loses_nobody() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.4);
    room.command(|server, _| server.pause());
    let sent = room.sent_fraction();
    room.run_for(Duration::from_secs(300));
    assert_eq!(room.sent_fraction(), sent);
    room.command(Ladder::resume);
    room.run_to_end();
    assert_identical(&room, SEED, 0..8);
    assert!(room.sent_fraction() < 1.1, "seed {SEED}: {}", room.sent_fraction());
}

#[test]
fn a_client_that_froze_during_a_pause_is_given_up_only_after_it() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.4);
    room.command(|server, _| server.pause());
    room.freeze(7, true);
    room.run_for(Duration::from_secs(60));
    assert!(!given_up(&room, 7));
    room.command(Ladder::resume);
    room.run_to_end();
    assert!(given_up(&room, 7));
    assert_identical(&room, SEED, 0..7);
}

#[test]
fn a_cancelled_session_tells_all_its_clients() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.4);
    room.command(Ladder::cancel);
    room.run_to_end();
    assert_eq!(ended(&room), Some(EndCause::Cancelled));
    for number in 0..8 {
        assert!(room.failure(number).is_some_and(|why| why.contains("cancelled")), "{:?}", room.failure(number));
    }
}

#[test]
fn a_removed_client_ends_and_is_not_taken_in_again() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.4);
    let removed = room.client_id(7);
    assert_eq!(room.command(|server, now| server.remove(now, removed)), Some(true));
    assert_eq!(room.command(|server, now| server.remove(now, removed)), Some(false), "it is gone");
    room.run_for(Duration::from_millis(100));
    assert!(room.failure(7).is_some_and(|why| why.contains("removed")));
    room.restart(7);
    room.run_to_end();
    assert!(room.failure(7).is_some_and(|why| why.contains("removed")));
    assert_identical(&room, SEED, 0..7);
    assert_undisturbed(&room);
}

#[test]
fn one_too_many_is_told_when_to_come_back_and_gets_in_when_there_is_room() {
    let mut room = Room::new(RoomConfig { max_clients: Some(8), keep_open: true, ..lossy_room() });
    room.run_until(|room| room.sent_fraction() >= 0.2);
    let ninth = room.join();
    room.run_for(Duration::from_millis(100));
    let refused =
        |event: &SenderEvent| matches!(event, SenderEvent::ClientRefused { text, .. } if text.contains("try again in"));
    assert!(happened(&room, refused));
    room.run_until(|room| room.is_identical(ninth));
    room.run_to_end();
    assert_identical(&room, SEED, 0..9);
    let refusals = room.events().iter().filter(|(_, event)| refused(event)).count();
    assert!(refusals <= 4, "seed {SEED}: {refusals} refusals: it asks again when it was told to");
}

#[test]
fn a_client_of_another_version_is_refused_in_words() {
    let mut room = Room::new(lossy_room());
    let other = room.join_speaking(2);
    room.run_to_end();
    assert!(room.failure(other).is_some_and(|why| why.contains("version 1")), "{:?}", room.failure(other));
    assert_identical(&room, SEED, 0..8);
    assert!(room.session().is_some_and(|s| s.clients.iter().all(|c| c.state == ClientState::Complete)));
}

#[test]
fn a_client_that_never_hears_the_group_gives_up_and_says_so() {
    let mut room = Room::new(lossy_room());
    room.run_until(|room| room.sent_fraction() >= 0.2);
    let deaf = room.join_with(LinkModel::lossy(1.0));
    room.run_to_end();
    assert!(room.failure(deaf).is_some_and(|why| why.contains("querier")), "{:?}", room.failure(deaf));
    assert_identical(&room, SEED, 0..8);
}
