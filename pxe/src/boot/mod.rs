//! What a site wants of its machines, and what follows from it for one of them.

pub mod password;
mod plan;
mod program;
pub mod script;
mod site;

pub use self::plan::{Plan, Refusal, choose, plan, recognise};
pub use self::program::{BootImage, Program};
pub use self::site::{
    BootNote, Computer, Deployment, Directory, DirectoryError, Doer, Occasion, Policy, Site, Stage, Target,
};
