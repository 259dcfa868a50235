//! What a session costs beside what it must cost, for rooms of 1 to 1,000 clients, as tables.
//!
//! 8 blocks of 1,024 symbols at 1 Gbit/s: 12.3 MB on the wire in 0.1 s, so that the end of the session,
//! which takes as long for any image, weighs a hundred times more than for 1 GiB. `tail ms` is the time in
//! which there was nothing to send. Accept a change by running with `UPDATE_EXPECT=1`.

mod common;

use std::fmt::Write;

use common::assert_identical;
use expect_test::{Expect, expect};
use multicast_core::sim::{LinkModel, Room, RoomConfig, coded_repair_measured};

const SEED: u64 = 7;
const IMAGE_SYMBOLS: u32 = 8 * 1024;
const CLIENTS: [u32; 4] = [1, 8, 100, 1000];
const LOSSES: [f64; 5] = [0.0, 0.001, 0.01, 0.05, 0.2];

/// A row for each room. What is sent stays within 1.5 % of the bound, and within what chance does to
/// few blocks and few clients.
fn sweep(change: impl Fn(&mut RoomConfig, f64), bound: impl Fn(&Room, u32, f64) -> f64, expected: Expect) {
    let mut table = String::from("clients  loss %  sent/image   bound  feedback %  time/image  tail ms\n");
    for (clients, loss) in CLIENTS.into_iter().flat_map(|clients| LOSSES.map(|loss| (clients, loss))) {
        let mut config = RoomConfig::new(SEED, IMAGE_SYMBOLS, clients);
        change(&mut config, loss);
        let mut room = Room::new(config);
        room.run_to_end();
        assert_identical(&room, SEED, 0..room.len());
        let (figures, bound) = (room.figures(), bound(&room, clients, loss));
        assert!(figures.sent_ratio <= bound * 1.015, "seed {SEED}: {clients} clients, {loss}: {figures:?}, {bound}");
        let tail = (figures.time_ratio - figures.sent_ratio) * room.image_time().as_secs_f64();
        let _ = writeln!(
            table,
            "{clients:7} {:7.1} {:11.3} {bound:7.3} {:11.2} {:11.2} {:8.0}",
            loss * 100.0,
            figures.sent_ratio,
            figures.feedback_ratio * 100.0,
            figures.time_ratio,
            tail * 1000.0,
        );
    }
    expected.assert_eq(&table);
}

#[test]
fn independent_loss_costs_what_the_bound_says() {
    sweep(
        |config, loss| config.link = LinkModel::lossy(loss),
        |room, _, _| room.figures().bound,
        expect![[r#"
            clients  loss %  sent/image   bound  feedback %  time/image  tail ms
                  1     0.0       1.000   1.000        0.01        0.95       -5
                  1     0.1       1.001   1.001        0.01        0.96       -5
                  1     1.0       1.010   1.010        0.01        0.98       -3
                  1     5.0       1.054   1.053        0.01        1.10        5
                  1    20.0       1.246   1.250        0.01        1.36       12
                  8     0.0       1.000   1.000        0.09        0.95       -5
                  8     0.1       1.003   1.003        0.09        0.96       -5
                  8     1.0       1.015   1.015        0.09        0.98       -4
                  8     5.0       1.066   1.064        0.09        1.10        3
                  8    20.0       1.281   1.276        0.08        1.31        3
                100     0.0       1.000   1.000        0.59        1.01        1
                100     0.1       1.004   1.004        0.53        1.01        1
                100     1.0       1.019   1.019        0.53        1.01       -0
                100     5.0       1.073   1.073        0.48        1.14        7
                100    20.0       1.296   1.296        0.37        1.40       10
               1000     0.0       1.000   1.000        2.45        1.42       41
               1000     0.1       1.006   1.006        2.45        1.45       44
               1000     1.0       1.022   1.022        2.42        1.47       44
               1000     5.0       1.080   1.079        2.29        1.60       52
               1000    20.0       1.317   1.311        1.93        1.85       53
        "#]],
    );
}

#[test]
fn bursty_loss_costs_no_more_than_bursts_sent_without_a_pause_would() {
    let bursty = |loss| LinkModel { loss, burst: 8.0, ..LinkModel::CLEAN };
    sweep(
        |config, loss| config.link = bursty(loss),
        |_, clients, loss| coded_repair_measured(1024, clients, &bursty(loss), 16, SEED),
        expect![[r#"
            clients  loss %  sent/image   bound  feedback %  time/image  tail ms
                  1     0.0       1.000   1.000        0.01        0.95       -5
                  1     0.1       1.001   1.002        0.01        0.96       -5
                  1     1.0       1.014   1.012        0.01        0.98       -3
                  1     5.0       1.049   1.049        0.01        1.06        1
                  1    20.0       1.219   1.279        0.01        1.36       14
                  8     0.0       1.000   1.000        0.09        0.95       -5
                  8     0.1       1.004   1.008        0.09        0.96       -5
                  8     1.0       1.034   1.036        0.09        1.02       -1
                  8     5.0       1.084   1.095        0.09        1.06       -2
                  8    20.0       1.344   1.351        0.08        1.53       19
                100     0.0       1.000   1.000        0.59        1.01        1
                100     0.1       1.027   1.030        0.51        1.05        2
                100     1.0       1.066   1.058        0.55        1.08        1
                100     5.0       1.138   1.146        0.40        1.15        1
                100    20.0       1.424   1.414        0.34        1.65       23
               1000     0.0       1.000   1.000        2.45        1.42       41
               1000     0.1       1.049   1.040        2.35        1.49       44
               1000     1.0       1.081   1.083        2.29        1.52       44
               1000     5.0       1.177   1.180        2.15        1.59       41
               1000    20.0       1.481   1.475        1.70        2.33       84
        "#]],
    );
}

#[test]
fn shared_loss_costs_what_one_client_alone_would() {
    sweep(
        |config, loss| config.shared = LinkModel::lossy(loss),
        |room, _, _| room.figures().bound,
        expect![[r#"
            clients  loss %  sent/image   bound  feedback %  time/image  tail ms
                  1     0.0       1.000   1.000        0.01        0.95       -5
                  1     0.1       1.001   1.001        0.01        0.96       -5
                  1     1.0       1.012   1.010        0.01        0.98       -3
                  1     5.0       1.057   1.053        0.01        1.06        0
                  1    20.0       1.257   1.250        0.01        1.46       20
                  8     0.0       1.000   1.000        0.09        0.95       -5
                  8     0.1       1.001   1.001        0.09        0.96       -5
                  8     1.0       1.012   1.010        0.09        0.98       -3
                  8     5.0       1.057   1.053        0.09        1.06        0
                  8    20.0       1.257   1.250        0.09        1.46       20
                100     0.0       1.000   1.000        0.59        1.01        1
                100     0.1       1.001   1.001        0.59        1.01        1
                100     1.0       1.012   1.010        0.53        1.02        1
                100     5.0       1.057   1.053        0.51        1.07        2
                100    20.0       1.257   1.250        0.50        1.28        3
               1000     0.0       1.000   1.000        2.45        1.42       41
               1000     0.1       1.001   1.001        2.44        1.42       41
               1000     1.0       1.012   1.010        2.43        1.45       43
               1000     5.0       1.057   1.053        2.35        1.53       47
               1000    20.0       1.257   1.250        2.02        1.78       52
        "#]],
    );
}
