//! In which order the blocks go out that somebody lacks as a whole.

mod carousel;
mod nearest;

pub use carousel::Carousel;
pub use nearest::Nearest;

use crate::bitmap::Bitmap;
use crate::types::BlockIndex;

/// Chooses the next block; a new policy is a new implementation.
///
/// It is asked once for each transmission of a block, so it may look at every client, but not at
/// every block of every client.
pub trait Order: Send {
    /// The next one of the `wanted` blocks, or `None` if no block is. `held` has the blocks of each
    /// client that is being served, as it last told; what went out since is neither held nor wanted.
    fn next(&mut self, wanted: &Bitmap, held: &[&Bitmap]) -> Option<BlockIndex>;

    /// Whether it looks at `held`; if not, it is given none, as gathering that takes time.
    fn looks_at_clients(&self) -> bool {
        true
    }
}
