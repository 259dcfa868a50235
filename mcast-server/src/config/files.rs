//! What the settings name in the file system: secrets, folders, certificates, images.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::document::Document;
use super::error::Problem;
use super::fill::{Origins, label};
use super::kind::Shown;
use super::pxe;
use super::secret::{self, OTHERS, Secret};
use super::settings::Settings;
use super::surroundings::Surroundings;

/// Characters of a token at least: 20 random ones out of 64 are 120 bits.
const TOKEN_LEAST: usize = 20;

/// Reads the files that secrets are in, and looks whether the others can be used.
pub(super) struct Files<'a> {
    pub(super) settings: &'a mut Settings,
    pub(super) origins: &'a Origins,
    pub(super) around: &'a Surroundings,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Files<'_> {
    pub(super) fn all(&mut self, warnings: &mut Vec<String>) {
        if let Some(file) = self.settings.site.account.password_file.clone() {
            self.settings.site.account.password = self.secret("site.account.password_file", &file);
        }
        self.tokens();
        self.folder("content.images", self.settings.content.images.clone().as_deref());
        self.folder("content.packages", self.settings.content.packages.clone().as_deref());
        self.pem("http.certificate", self.settings.http.certificate.clone().as_deref(), false);
        self.pem("http.key", self.settings.http.key.clone().as_deref(), true);
        if self.settings.pxe.enabled {
            self.folder("pxe.images", self.settings.pxe.images.clone().as_deref());
            self.folder("pxe.loaders", self.settings.pxe.loaders.clone().as_deref());
        }
        pxe::interfaces(&self.settings.pxe, self.origins, self.problems);
        let Some(folder) = self.settings.content.images.as_deref().filter(|folder| folder.is_dir()) else { return };
        for image in &self.settings.images {
            for path in image.paths(folder).iter().filter(|path| !path.exists()) {
                warnings.push(format!("image {:?}: there is no file {:?} yet", image.name, path.display().to_string()));
            }
        }
    }

    fn tokens(&mut self) {
        let mut seen = HashMap::<String, String>::new();
        for number in 0..self.settings.tokens.len() {
            let label = label("token", number);
            let file = self.settings.tokens[number].token_file.clone();
            let key = if file.is_some() { "token_file" } else { "token" };
            if let Some(file) = file {
                let Some(secret) = self.secret(&format!("{label}token_file"), &file) else { continue };
                self.settings.tokens[number].token = secret;
            }
            let token = &self.settings.tokens[number];
            let origin = self.origins.get(&format!("{label}{key}")).cloned();
            let text = token.token.expose();
            // Refused before, or not given.
            if text.is_empty() {
                continue;
            }
            if let Some(reason) = unfit(text) {
                let problem = Problem::new(origin, format!("token.{key} of {:?}: {reason}", token.name));
                self.problems.push(problem.with_help("make one: mcast-server token"));
            } else if let Some(other) = seen.insert(text.to_owned(), token.name.clone()) {
                let text = format!("token.{key} of {:?} is the same as that of {other:?}", token.name);
                self.problems.push(Problem::new(origin, text).with_help("make one for each: mcast-server token"));
            }
        }
    }

    fn secret(&mut self, key: &str, file: &Path) -> Option<Secret> {
        match secret::read_file(file, self.around.credentials.as_deref()) {
            Ok(secret) => Some(secret),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
                let problem = Problem::new(self.origins.get(key).cloned(), format!("{}: {error}{cause}", plain(key)));
                self.problems.push(problem.with_help(error.help()));
                None
            }
        }
    }

    fn folder(&mut self, key: &str, folder: Option<&Path>) {
        // An empty path was missing, which has been said.
        let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else { return };
        let shown = Shown::Text(folder.display().to_string());
        let (reason, help) = match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => return,
            Ok(_) => ("it is no folder".to_owned(), "name the folder that the files are in".to_owned()),
            Err(error) => (error.to_string(), format!("mkdir -p {}", folder.display())),
        };
        let problem = Problem::new(self.origins.get(key).cloned(), format!("{key} = {shown}: {reason}"));
        self.problems.push(problem.with_help(help));
    }

    /// A key may be readable by a group, as Debian's ssl-cert has it, but not by all.
    fn pem(&mut self, key: &str, file: Option<&Path>, secret: bool) {
        let Some(file) = file else { return };
        let shown = Shown::Text(file.display().to_string());
        let (reason, help) = match fs::metadata(file) {
            Ok(metadata) if !metadata.is_file() => ("it is no file".to_owned(), "name a PEM file".to_owned()),
            Ok(metadata) => match secret::exposed(&metadata, OTHERS) {
                Some(mode) if secret => (
                    format!("its mode is {mode:04o}: everybody on this host can use it"),
                    format!("chmod o-rwx {}", file.display()),
                ),
                _ => return,
            },
            Err(error) => (error.to_string(), "name a PEM file that the server's user can read".to_owned()),
        };
        let problem = Problem::new(self.origins.get(key).cloned(), format!("{key} = {shown}: {reason}"));
        self.problems.push(problem.with_help(help));
    }
}

/// The problem with a file of settings that holds a secret, used or not, and has a mode that lets everybody see it.
pub(super) fn exposed_config(file: &Path, mode: u32, document: &Document) -> Option<Problem> {
    let password = document.values.get_key_value("site.account.password");
    let mut tokens = document.tokens.iter().filter_map(|token| token.values.get("token"));
    let (key, leaf) = match password {
        Some((key, leaf)) => (key.as_str(), leaf),
        None => ("token.token", tokens.next()?),
    };
    if mode & OTHERS == 0 {
        return None;
    }
    let text = format!(
        "{key} is a secret, but {:?} has mode {mode:04o}: everybody on this host can use it",
        file.display().to_string()
    );
    let help = format!("chmod o-rwx {}; or put the secret into a file of its own, {key}_file", file.display());
    Some(Problem::new(leaf.origin.clone(), text).with_help(help))
}

/// Why a text is no token.
fn unfit(text: &str) -> Option<String> {
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Some(format!("it contains {odd:?}, which an HTTP header cannot carry"));
    }
    let length = text.len();
    (length < TOKEN_LEAST).then(|| format!("it has {length} characters, at least {TOKEN_LEAST} are needed"))
}

/// `token[0].token` as `token.token`.
fn plain(key: &str) -> String {
    match (key.find('['), key.find(']')) {
        (Some(start), Some(end)) => format!("{}{}", &key[..start], &key[end + 1..]),
        _ => key.to_owned(),
    }
}
