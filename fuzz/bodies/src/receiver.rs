//! A receiver whose server, group, clock and disk do whatever the input says.

mod harness;
mod op;

pub use op::ReceiverOp;

use self::harness::Harness;
use crate::script::{STEP_LIMIT, Script};

/// The first byte says how the receiver is set up, the rest is a script of [`ReceiverOp`]s. Nothing
/// panics, time always moves on, and complete is only what matches the manifest that the accepted
/// offer named. Whether it completed.
pub fn receiver(input: &[u8]) -> bool {
    let mut script = Script::new(input);
    let mut harness = Harness::new(script.u8());
    for _ in 0..STEP_LIMIT {
        let Some(op) = ReceiverOp::read(&mut script) else { break };
        harness.apply(op);
    }
    harness.finish()
}
