//! What a service needs beside the network: its database, its HTTP addresses, its certificate.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Instant, SystemTime};

use identity::SiteIdentity;
use multicast_core::doctor::{Finding, judge};

use crate::config::Settings;
use crate::serve;

const DATABASE: &str = "database";
const HTTP: &str = "HTTP";

/// Whether the site's database answers. As at a start its tables are brought up to date; a file that does not
/// exist is not made.
pub(super) fn database(settings: &Settings) -> Finding {
    if let Some(file) = settings.site.sqlite_file()
        && !file.exists()
    {
        return missing_file(&file);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Finding::untested(DATABASE, error.to_string()),
    };
    let begun = Instant::now();
    let checked = runtime.block_on(async {
        let site = serve::open_site(settings).await?;
        let checked = site.check().await.map_err(|error| serve::site_failure(&error));
        let name = site.name().to_owned();
        site.close().await;
        checked.map(|()| name)
    });
    match checked {
        Ok(name) => Finding::ok(DATABASE, format!("{name} answers, after {}", judge::span(begun.elapsed()))),
        Err(failure) => {
            Finding::failure(DATABASE, failure.text(), failure.help().unwrap_or("see site.database in the settings"))
        }
    }
}

fn missing_file(file: &Path) -> Finding {
    // The nearest folder that there is decides whether the others can be made.
    let folder = file.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let writable = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK);
    match writable {
        Ok(()) => Finding::ok(DATABASE, format!("{} does not exist yet: the first start makes it", file.display())),
        Err(_) => Finding::failure(
            DATABASE,
            format!("{} cannot be made: {} is not writable", file.display(), folder.display()),
            "choose another folder (site.state), or run this as the service's user",
        ),
    }
}

/// Whether the HTTP side can listen; `runs`: a server of ours is at work here, and probably holds the ports.
pub(super) fn http(settings: &Settings, runs: bool) -> Finding {
    for address in settings.http.listen.iter().chain(&settings.http.metrics_listen) {
        match TcpListener::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse && runs => {}
            Err(error) => {
                return Finding::failure(
                    HTTP,
                    format!("TCP {address} cannot be listened at: {error}"),
                    "another program has this port, or this host does not have this address (http.listen)",
                );
            }
        }
    }
    let listen = settings.http.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if settings.http.listen.iter().all(|address| address.ip().to_canonical().is_loopback()) {
        return Finding::warning(
            HTTP,
            format!("TCP {listen} is reached from this host only"),
            "clients that hear no multicast cannot fetch: http.listen = [\"0.0.0.0:62999\"]",
        );
    }
    Finding::ok(HTTP, format!("TCP {listen} can be listened at"))
}

/// Of a certificate that was supplied; one of the site's own is made by the first start.
pub(super) fn certificate(settings: &Settings) -> Option<Finding> {
    const TEST: &str = "certificate";
    let (certificate, key) = (settings.http.certificate.as_ref()?, settings.http.key.as_ref()?);
    let now = SystemTime::now();
    Some(match SiteIdentity::supplied(certificate, key, now) {
        Ok(identity) => match identity.warnings(now).first() {
            None => Finding::ok(TEST, format!("{} fits its key and is valid", certificate.display())),
            Some(warning) => Finding::warning(TEST, warning.to_string(), warning.help()),
        },
        Err(error) => Finding::failure(TEST, command_line::chain(&error), error.help()),
    })
}

#[cfg(test)]
mod tests {
    use multicast_core::doctor::Outcome;

    use super::*;

    fn settings(listen: &[std::net::SocketAddr]) -> Settings {
        let mut settings = Settings::default();
        settings.http.listen = listen.to_vec();
        settings
    }

    #[test]
    fn a_port_in_use_fails_unless_it_is_our_own() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = settings(&[held.local_addr().unwrap()]);
        assert_eq!(http(&settings, false).outcome, Outcome::Failure);
        // It is reached from this host only.
        assert_eq!(http(&settings, true).outcome, Outcome::Warning);
    }

    #[test]
    fn a_database_that_the_first_start_makes_is_no_fault_and_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&[]);
        settings.site.state = folder.path().join("state");
        let finding = database(&settings);
        assert_eq!(finding.outcome, Outcome::Ok, "{finding}");
        assert!(!settings.site.state.exists());
    }
}
