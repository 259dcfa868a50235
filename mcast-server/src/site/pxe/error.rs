//! Why something about machines is refused.

use std::net::Ipv4Addr;

use pxe::machine::{Mac, Uuid};
use thiserror::Error;

use super::tokens::TokenRefusal;
use crate::site::SiteError;

/// Why the site does not do what is asked of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum PxeError {
    /// The database.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// There is one of this name.
    #[error("there is already a {what} {name}")]
    Exists {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no {what} {name}")]
    Missing {
        /// What it would be.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A card is another computer's.
    #[error("MAC {mac} already belongs to computer {computer}")]
    MacTaken {
        /// The card.
        mac: Mac,
        /// Whose it is.
        computer: String,
    },
    /// An address is another computer's.
    #[error("address {address} is already reserved for computer {computer}")]
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Whose it is.
        computer: String,
    },
    /// Two boards have one UUID, and nothing else tells them apart.
    #[error("UUID {uuid} is that of computer {computer}, too: give each of them a MAC, by which they are told apart")]
    UuidShared {
        /// What they share.
        uuid: Uuid,
        /// The other one.
        computer: String,
    },
    /// A value cannot be taken.
    #[error("{what} {value:?}: {reason}")]
    Invalid {
        /// What it is.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing by which it could be recognised.
    #[error("computer {name} has neither a MAC nor a UUID, by which it could be recognised")]
    NoIdentity {
        /// The computer.
        name: String,
    },
    /// A token opens nothing.
    #[error("the token is refused: {0}")]
    Token(#[from] TokenRefusal),
}

/// What ends a piece of work.
pub(super) enum Fault {
    Sql(sqlx::Error),
    Refused(PxeError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<PxeError> for Fault {
    fn from(refused: PxeError) -> Self {
        Self::Refused(refused)
    }
}
