//! What a client tells of its own reception.

use multicast_core::sim::{LinkModel, Room, RoomConfig};

#[test]
fn a_client_knows_how_much_was_sent_since_it_listens_and_how_much_of_it_came() {
    let mut room = Room::new(RoomConfig { link: LinkModel::lossy(0.05), ..RoomConfig::new(7, 20_000, 4) });
    room.run_until(|room| room.sent_fraction() >= 0.5);
    let late = room.join();
    room.run_until(|room| room.sent_fraction() >= 0.9);
    for (number, least) in [(0, 17_000), (late, 7000)] {
        let counters = room.client(number).unwrap().counters;
        let loss = 1.0 - counters.symbols as f64 / counters.symbols_sent as f64;
        assert!((0.03..0.07).contains(&loss), "client {number} lost {loss}");
        assert!((least..19_000).contains(&counters.symbols_sent), "{counters:?}");
    }
}
