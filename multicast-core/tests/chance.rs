//! Stories that chance writes: whatever happens, it ends, and whoever is alive has the very bytes.
//!
//! `PROPTEST_CASES=10000` makes it a soak.

mod common;

use std::time::Duration;

use common::{assert_identical, small_room};
use multicast_core::sender::{ClientState, Ladder, SenderEvent, StartPolicy};
use multicast_core::sim::{LinkModel, Room, RoomConfig};
use proptest::prelude::*;

/// Something that happens to a room; clients are taken modulo their number.
#[derive(Debug, Clone)]
enum Blow {
    Join(LinkModel),
    Kill(usize),
    Freeze(usize),
    Cut(usize),
    /// What was killed, frozen or cut comes back.
    Mend(usize),
    KillServer,
    StartServer,
    Pause,
    Resume,
    Remove(usize),
}

fn link() -> impl Strategy<Value = LinkModel> {
    let loss = prop_oneof![Just(0.0), Just(0.01), Just(0.1), 0.0..0.4];
    let burst = prop_oneof![Just(1.0), 1.0..20.0];
    let (reorder, duplicate) = (prop_oneof![Just(0.0), 0.0..0.1], prop_oneof![Just(0.0), 0.0..0.1]);
    let corrupt = prop_oneof![4 => Just(0.0), 1 => 0.0..0.0005];
    (loss, burst, reorder, duplicate, corrupt).prop_map(|(loss, burst, reorder, duplicate, corrupt)| LinkModel {
        loss,
        burst,
        reorder,
        duplicate,
        corrupt,
        ..LinkModel::CLEAN
    })
}

fn blow() -> impl Strategy<Value = Blow> {
    let client = || 0usize..64;
    prop_oneof![
        2 => link().prop_map(Blow::Join),
        2 => client().prop_map(Blow::Kill),
        2 => client().prop_map(Blow::Freeze),
        2 => client().prop_map(Blow::Cut),
        4 => client().prop_map(Blow::Mend),
        1 => Just(Blow::KillServer),
        2 => Just(Blow::StartServer),
        1 => Just(Blow::Pause),
        2 => Just(Blow::Resume),
        1 => client().prop_map(Blow::Remove),
    ]
}

/// A story: the room, and after how many ms which blow falls.
fn story() -> impl Strategy<Value = (RoomConfig, Vec<(u64, Blow)>)> {
    let blows = prop::collection::vec((prop_oneof![0u64..200, 0u64..5000], blow()), 0..14);
    let room = (
        any::<u64>(),
        1u32..3000,
        1u32..8,
        link(),
        prop_oneof![Just(0.0), 0.0..0.6],
        prop_oneof![Just(200u64), Just(20_000), 0u64..60_000],
        prop_oneof![Just(0), Just(usize::MAX), 0usize..20_000],
        prop_oneof![Just(None), (1u32..10).prop_map(Some)],
        any::<bool>(),
    );
    (room, blows).prop_map(
        |((seed, symbols, clients, link, feedback_loss, delay, staging, threshold, adaptive), blows)| {
            let start =
                StartPolicy { clients: threshold, wait: Some(Duration::from_secs(2)), ..StartPolicy::default() };
            let config = RoomConfig {
                link,
                feedback_loss,
                delay: Duration::from_micros(delay),
                staging,
                start,
                adaptive,
                silence: Duration::from_secs(4),
                keep_open: true,
                ..small_room(seed, symbols, clients)
            };
            (config, blows)
        },
    )
}

fn strike(room: &mut Room, blow: &Blow, server: &mut bool) {
    let count = room.len();
    match *blow {
        Blow::Join(link) => drop(room.join_with(link)),
        Blow::Kill(n) => room.kill(n % count),
        Blow::Freeze(n) => room.freeze(n % count, true),
        Blow::Cut(n) => room.cut(n % count, true),
        Blow::Mend(n) => mend(room, n % count),
        Blow::KillServer => {
            room.kill_server();
            *server = false;
        }
        Blow::StartServer => start_server(room, server),
        Blow::Pause => drop(room.command(|server, _| server.pause())),
        Blow::Resume => drop(room.command(Ladder::resume)),
        Blow::Remove(n) => {
            let client = room.client_id(n % count);
            room.command(|server, now| server.remove(now, client));
        }
    }
}

fn mend(room: &mut Room, number: usize) {
    room.freeze(number, false);
    room.cut(number, false);
    if room.client(number).is_none() {
        room.restart(number);
    }
}

fn start_server(room: &mut Room, server: &mut bool) {
    if !*server {
        room.start_server();
        *server = true;
    }
}

/// Clients that the present server, or one before, was told to remove.
fn removed(room: &Room) -> Vec<usize> {
    let ids: Vec<_> = room
        .events()
        .iter()
        .filter_map(|(_, event)| match event {
            SenderEvent::ClientRemoved { client, .. } => Some(*client),
            _ => None,
        })
        .collect();
    (0..room.len()).filter(|&number| ids.contains(&room.client_id(number))).collect()
}

fn tell(config: &RoomConfig, blows: &[(u64, Blow)]) -> Room {
    let mut room = Room::new(config.clone());
    let mut server = true;
    for (pause, blow) in blows {
        room.run_for(Duration::from_millis(*pause));
        strike(&mut room, blow, &mut server);
    }
    start_server(&mut room, &mut server);
    room.command(Ladder::resume);
    room
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn when_all_is_mended_everybody_gets_the_image((config, blows) in story()) {
        let mut room = tell(&config, &blows);
        (0..room.len()).for_each(|number| mend(&mut room, number));
        room.run_to_end();
        let removed = removed(&room);
        assert_identical(&room, config.seed, (0..room.len()).filter(|number| !removed.contains(number)));
    }

    #[test]
    fn when_nothing_is_mended_it_ends_all_the_same((config, blows) in story()) {
        let mut room = tell(&RoomConfig { keep_open: false, ..config.clone() }, &blows);
        // Somebody must be there for a session to end.
        room.join();
        room.run_to_end();
        let session = room.session().expect("a server is there");
        for client in session.clients.iter().filter(|client| client.state == ClientState::Complete) {
            let number = (0..room.len()).find(|&number| room.client_id(number) == client.client);
            assert_identical(&room, config.seed, number);
        }
        prop_assert!(session.clients.iter().all(|client| !client.state.is_active()), "{:?}", session.clients);
    }
}
