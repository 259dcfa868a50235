//! What is served: images, known by their hashes, and packages.
//!
//! The way of an image: [`folder`] finds its files → [`keeper`] waits until they rest and hashes them →
//! [`catalogue`] has it for sessions, for unicast and for whoever looks.

mod catalogue;
mod folder;
mod keeper;
pub(crate) mod packages;

pub(crate) use catalogue::{Catalogue, Image, ImageState, Ready, Unusable};
pub(crate) use keeper::{Keeper, KeeperConfig};
