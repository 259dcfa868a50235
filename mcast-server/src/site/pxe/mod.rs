//! Machines that boot from the network: what the site knows of them, and what they are to boot.
//!
//! | module | is |
//! |---|---|
//! | `computers` | machines with a name: cards, board, reserved address |
//! | `deployments` | what machines are to boot, in order; and who has done what was for once |
//! | `policy` | whether machines are answered, unknown ones too, and the password |
//! | `snapshot` | all of the above at one moment, with its revision |
//! | `leases` | addresses that were given |
//! | `tokens` | what a booted client shows to get its machine's image |
//! | `boots` | what happened to machines |
//! | `error` | what is refused, and why |

mod boots;
mod computers;
mod deployments;
mod error;
mod leases;
mod policy;
mod snapshot;
mod tokens;

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::work::{Work, millis};
use super::{ASK_LIMIT, Site, SiteError};
use error::Fault;

pub(crate) use self::{
    boots::{BOOTS_KEPT, BootFilter, BootRow, BootSeen},
    computers::ComputerRow,
    deployments::{DeploymentRow, DeploymentTarget, DoneMark, DoneRow, Position},
    error::PxeError,
    leases::{PxeLeaseRow, PxeLeaseSeen},
    policy::PolicyChange,
    snapshot::Snapshot,
    tokens::{Redeemed, TOKEN_LIFE, TokenRefusal},
};

/// Bytes of the name of a computer, a deployment or a boot image.
pub(crate) const PXE_NAME_LIMIT: usize = 63;

impl Site {
    /// Does `work`, which may be refused, or gives it up after [`ASK_LIMIT`].
    async fn judged<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, PxeError> {
        match timeout(ASK_LIMIT, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Fault::Refused(refused))) => Err(refused),
            Ok(Err(Fault::Sql(error))) => Err(SiteError::of(&self.target, error).into()),
            Err(_) => Err(SiteError::slow(&self.target, ASK_LIMIT).into()),
        }
    }
}

/// Notes that what machines are to boot has changed.
async fn touch(work: &mut Work) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE pxe_site SET revision = revision + 1").execute(work.sql()).await?;
    Ok(())
}

/// A name for people that can stand in lines of a log, and in one of a table.
fn check_name(what: &'static str, name: &str) -> Result<(), PxeError> {
    let invalid = |reason: String| Err(PxeError::Invalid { what, value: name.to_owned(), reason });
    match name {
        "" => invalid("it is empty".to_owned()),
        name if name.len() > PXE_NAME_LIMIT => {
            invalid(format!("it has {} bytes, at most {PXE_NAME_LIMIT} are allowed", name.len()))
        }
        name if name.contains(char::is_control) => invalid("it contains a control character".to_owned()),
        name if name.trim() != name => invalid("it begins or ends with a space".to_owned()),
        _ => Ok(()),
    }
}

/// Milliseconds since 1970.
pub(crate) fn moment_of(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// The moment of so many milliseconds since 1970.
fn time_of(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
