//! `mcast-server serve`: the distribution point, from its settings to its end.
//!
//! [`gate`] judges who comes in → [`opening`] has a session run → [`sessions`] and [`point`] know how it
//! goes → [`http`] shows it and takes commands. [`content`] has the images, [`places`] the groups, and the
//! site database what other servers and the next start are to know.

mod content;
mod gate;
pub(crate) mod http;
mod log;
mod opening;
mod places;
mod point;
mod pxe;
mod resumable;
mod sessions;
mod start;
mod supervised;
mod tasks;
mod tickets;
mod unicasts;
pub(crate) mod views;

use std::process::ExitCode;

pub(crate) use start::{open_site, site_failure};

use crate::config::{Loaded, ServeArguments, Surroundings};
use crate::exit::{Exit, Failure};

/// Serves until a signal ends it.
pub(crate) fn run(arguments: &ServeArguments) -> ExitCode {
    let loaded = match Loaded::load(arguments, &Surroundings::here()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage.into();
        }
    };
    if arguments.check_config {
        print!("{}", loaded.describe());
        return Exit::Success.into();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build();
    let served = runtime.map_err(|error| Failure::of(Exit::Error, &error)).and_then(|runtime| {
        let served = runtime.block_on(start::serve(loaded, arguments));
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        served
    });
    match served {
        Ok(()) => Exit::Success.into(),
        Err(failure) => failure.report(false),
    }
}
