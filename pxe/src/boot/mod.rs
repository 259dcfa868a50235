//! What a site wants of its machines, and what follows from it for one of them.

mod site;

pub use self::site::{
    BootNote, Computer, Deployment, Directory, DirectoryError, Occasion, Policy, Site, Stage, Target,
};
