//! A session whose clients, operator and clock do whatever the input says.

mod harness;
mod op;

pub use harness::client_address;
pub use op::{ReportOp, SenderOp};

use self::harness::Harness;
use crate::script::{STEP_LIMIT, Script};

/// The first two bytes say how the session is set up, the rest is a script of [`SenderOp`]s. Nothing
/// panics, what is sent exists and is numbered through, and time always moves on. Whether the
/// session ended because every client was done.
pub fn sender(input: &[u8]) -> bool {
    let mut script = Script::new(input);
    let mut harness = Harness::new(script.u8(), script.u8());
    for _ in 0..STEP_LIMIT {
        let Some(op) = SenderOp::read(&mut script) else { break };
        harness.apply(op);
    }
    harness.is_over()
}
