//! What the settings take from the system: names, folders, variables, the clock. Tests give their own.

use std::ffi::OsString;
use std::path::PathBuf;

use jiff::ZonedDateTime;
use nix::unistd;

/// The system around the settings. It has no `Debug`: variables may hold secrets.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Default name of site and server.
    pub(crate) host_name: String,
    /// Default state folder, absolute; none if this user has no home.
    pub(crate) state: Option<PathBuf>,
    /// Folder in which systemd has put this service's secrets.
    pub(crate) credentials: Option<PathBuf>,
    /// Where relative paths of flags and variables start.
    pub(crate) folder: PathBuf,
    /// The whole environment; only names with our prefix are looked at.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// For warnings about times that have passed.
    pub(crate) now: ZonedDateTime,
}

impl Surroundings {
    /// Of this process.
    pub(crate) fn here() -> Self {
        let variables = std::env::vars_os().collect::<Vec<_>>();
        let host_name = unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        Self {
            host_name: host_name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
            state: state_folder(&variables, unistd::geteuid().is_root()),
            credentials: folder_in(&variables, "CREDENTIALS_DIRECTORY"),
            // It was removed under us: then only absolute paths can mean anything.
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            variables,
            now: ZonedDateTime::now(),
        }
    }
}

/// systemd's folder for this service, the system's for root, the user's own (XDG base directories) for others.
fn state_folder(variables: &[(OsString, OsString)], root: bool) -> Option<PathBuf> {
    if let Some(all) = value(variables, "STATE_DIRECTORY") {
        // With several folders of the unit there are colons between.
        let all = all.into_string().ok()?;
        return all.split(':').next().map(PathBuf::from).filter(|folder| folder.is_absolute());
    }
    if root {
        return Some(PathBuf::from("/var/lib/mcast"));
    }
    let home = || Some(folder_in(variables, "HOME")?.join(".local/state"));
    Some(folder_in(variables, "XDG_STATE_HOME").or_else(home)?.join("mcast"))
}

fn folder_in(variables: &[(OsString, OsString)], name: &str) -> Option<PathBuf> {
    value(variables, name).map(PathBuf::from).filter(|folder| folder.is_absolute())
}

fn value(variables: &[(OsString, OsString)], name: &str) -> Option<OsString> {
    let found = variables.iter().find(|(variable, _)| variable == name);
    found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(variables: &[(&str, &str)], root: bool) -> Option<String> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>();
        state_folder(&variables, root).map(|folder| folder.display().to_string())
    }

    #[test]
    fn state_is_kept_where_the_system_keeps_it() {
        let home = ("HOME", "/home/u");
        assert_eq!(state(&[home, ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")], true), Some("/var/lib/a".into()));
        assert_eq!(state(&[home, ("XDG_STATE_HOME", "/s")], true), Some("/var/lib/mcast".into()));
        assert_eq!(state(&[home, ("XDG_STATE_HOME", "/s")], false), Some("/s/mcast".into()));
        assert_eq!(state(&[home, ("XDG_STATE_HOME", "s")], false), Some("/home/u/.local/state/mcast".into()));
        assert_eq!(state(&[], false), None);
    }
}
