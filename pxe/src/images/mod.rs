//! Boot images, put on the point by name: what files are, where they are kept, what is missing.

mod check;
mod describe;
mod inspect;
mod loaders;
mod store;

pub use self::check::{Missing, check};
pub use self::describe::{DescribeError, describe};
pub use self::inspect::{HEAD, Kind, NotABootImage, inspect};
pub use self::loaders::Loaders;
pub use self::store::{Store, StoreError, Upload};
