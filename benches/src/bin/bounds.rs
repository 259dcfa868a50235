//! What a session sends beside the least that it could, in the simulator: a line `CLIENTS LOSS SENT
//! BOUND` for each room, the loss in percent, the others in images. `cargo xtask plots` draws it.

use multicast_core::sim::{LinkModel, Room, RoomConfig};

const CLIENTS: [u32; 4] = [1, 8, 100, 1000];
const LOSSES: [f64; 7] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
/// 16 full blocks: enough that chance weighs little, few enough for a thousand clients.
const IMAGE_SYMBOLS: u32 = 16 * 1024;
const SEED: u64 = 7;

fn main() {
    for (clients, loss) in CLIENTS.into_iter().flat_map(|clients| LOSSES.map(|loss| (clients, loss))) {
        let mut config = RoomConfig::new(SEED, IMAGE_SYMBOLS, clients);
        config.link = LinkModel::lossy(loss / 100.0);
        let mut room = Room::new(config);
        room.run_to_end();
        let figures = room.figures();
        println!("{clients} {loss} {:.4} {:.4}", figures.sent_ratio, figures.bound);
    }
}
