//! Settings that name files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use tempfile::TempDir;

use super::*;

/// A folder with a file of settings in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path("images")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(self, name: &str, mode: u32, content: &str) -> Self {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
        self
    }

    fn load(&self, mode: u32, text: &str) -> Result<Loaded, String> {
        fs::write(self.path("server.toml"), format!("content.images = \"images\"\n{text}")).unwrap();
        fs::set_permissions(self.path("server.toml"), Permissions::from_mode(mode)).unwrap();
        let arguments = ServeArguments { config: Some(self.path("server.toml")), ..ServeArguments::default() };
        let here = self.0.path().display().to_string();
        Loaded::load(&arguments, &around()).map_err(|error| error.to_string().replace(&here, "FOLDER"))
    }

    fn refusal(&self, mode: u32, text: &str) -> String {
        self.load(mode, text).unwrap_err()
    }
}

const ACCOUNT: &str = "site.database = \"postgres://db/site\"\nsite.account.password";
const TOKEN: &str = "[[token]]\nname = \"web\"\nrole = \"operator\"\n";

#[test]
fn secrets_are_read_from_files_of_their_own() {
    let folder = Folder::new().with("password", 0o600, "hunter2\n").with("token", 0o400, "0123456789abcdefghij");
    let text = format!("{ACCOUNT}_file = \"password\"\n{TOKEN}token_file = \"token\"\n");
    let loaded = folder.load(0o644, &text).unwrap();
    assert_eq!(loaded.settings.site.account.password, Some(Secret::new("hunter2")));
    assert_eq!(loaded.settings.tokens[0].token, Secret::new("0123456789abcdefghij"));
    let shown = loaded.describe();
    assert!(!shown.contains("hunter2") && !shown.contains("abcdef") && !shown.contains("(secret)"), "{shown}");
    // A file with another content is another setting.
    let changed = folder.with("password", 0o600, "hunter3").load(0o644, &text).unwrap();
    let changes = Settings::changes(&loaded.settings, &changed.settings);
    assert_eq!(
        changes.restart.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["site.account.password: changed (at the next start)"]
    );
}

#[test]
fn a_secret_file_that_others_can_read_is_refused() {
    let folder = Folder::new().with("password", 0o640, "hunter2").with("token", 0o604, "0123456789abcdefghij");
    let refusal = folder.refusal(0o600, &format!("{ACCOUNT}_file = \"password\"\n{TOKEN}token_file = \"token\"\n"));
    expect![[r#"
        2 settings are wrong
          FOLDER/server.toml:3:30: site.account.password_file: secret file "FOLDER/password" has mode 0640: others than its owner can use it
            chmod 600 FOLDER/password
          FOLDER/server.toml:7:14: token.token_file: secret file "FOLDER/token" has mode 0604: others than its owner can use it
            chmod 600 FOLDER/token"#]].assert_eq(&refusal);
}

#[test]
fn a_file_of_settings_with_a_secret_in_it_must_not_be_readable_by_all() {
    let folder = Folder::new();
    let text = format!("{ACCOUNT} = \"hunter2\"\n");
    assert!(folder.load(0o600, &text).is_ok() && folder.load(0o640, &text).is_ok());
    expect![[r#"
        FOLDER/server.toml:3:25: site.account.password is a secret, but "FOLDER/server.toml" has mode 0644: everybody on this host can use it
          chmod o-rwx FOLDER/server.toml; or put the secret into a file of its own, site.account.password_file"#]].assert_eq(&folder.refusal(0o644, &text));
    let token = format!("{TOKEN}token = \"0123456789abcdefghij\"\n");
    expect![[r#"
        FOLDER/server.toml:5:9: token.token is a secret, but "FOLDER/server.toml" has mode 0604: everybody on this host can use it
          chmod o-rwx FOLDER/server.toml; or put the secret into a file of its own, token.token_file"#]].assert_eq(&folder.refusal(0o604, &token));
    // Even one that is not used.
    fs::write(folder.path("server.toml"), format!("content.images = \"images\"\n{text}")).unwrap();
    fs::set_permissions(folder.path("server.toml"), Permissions::from_mode(0o644)).unwrap();
    let arguments = ServeArguments { config: Some(folder.path("server.toml")), ..ServeArguments::default() };
    let variables = vec![("MCAST_SITE__ACCOUNT__PASSWORD".into(), "hunter3".into())];
    let error = Loaded::load(&arguments, &Surroundings { variables, ..around() }).unwrap_err();
    assert!(error.to_string().contains("has mode 0644"), "{error}");
    // One that the environment alone gives is in no file.
    assert!(folder.load(0o644, "").is_ok());
}

#[test]
fn tokens_are_long_and_each_is_one_alone() {
    let folder = Folder::new().with("short", 0o600, "short").with("spaced", 0o600, "0123456789 0123456789\n");
    let text = format!(
        "{TOKEN}token_file = \"short\"\n{}token_file = \"spaced\"\n{}token = \"0123456789abcdefghij\"\n{}token = \"0123456789abcdefghij\"\n",
        TOKEN.replace("web", "b"),
        TOKEN.replace("web", "c"),
        TOKEN.replace("web", "d"),
    );
    expect![[r#"
        3 settings are wrong
          FOLDER/server.toml:5:14: token.token_file of "web": it has 5 characters, at least 20 are needed
            make one: mcast-server token
          FOLDER/server.toml:9:14: token.token_file of "b": it contains ' ', which an HTTP header cannot carry
            make one: mcast-server token
          FOLDER/server.toml:17:9: token.token of "d" is the same as that of "c"
            make one for each: mcast-server token"#]]
    .assert_eq(&folder.refusal(0o600, &text));
}

#[test]
fn folders_and_certificates_must_be_there() {
    let folder = Folder::new().with("file", 0o600, "").with("key", 0o644, "");
    let text = "content.packages = \"file\"\nhttp.certificate = \"none.pem\"\nhttp.key = \"key\"\n";
    expect![[r#"
        3 settings are wrong
          FOLDER/server.toml:2:20: content.packages = "FOLDER/file": it is no folder
            name the folder that the files are in
          FOLDER/server.toml:3:20: http.certificate = "FOLDER/none.pem": No such file or directory (os error 2)
            name a PEM file that the server's user can read
          FOLDER/server.toml:4:12: http.key = "FOLDER/key": its mode is 0644: everybody on this host can use it
            chmod o-rwx FOLDER/key"#]]
    .assert_eq(&folder.refusal(0o600, text));
    fs::remove_dir(folder.path("images")).unwrap();
    expect![[r#"
        FOLDER/server.toml:1:18: content.images = "FOLDER/images": No such file or directory (os error 2)
          mkdir -p FOLDER/images"#]]
    .assert_eq(&folder.refusal(0o600, ""));
    let group = Folder::new().with("cert", 0o644, "").with("key", 0o640, "");
    assert!(group.load(0o644, "http.certificate = \"cert\"\nhttp.key = \"key\"\n").is_ok());
}

#[test]
fn an_image_that_is_not_there_yet_is_only_warned_about() {
    let folder = Folder::new().with("images/here", 0o644, "");
    let loaded = folder.load(0o644, "image = [{ file = \"here\" }, { file = \"later\", name = \"x\" }]").unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0].starts_with("image \"x\": there is no file ") && loaded.warnings[0].ends_with("later\" yet")
    );
}

#[test]
fn a_file_of_settings_that_cannot_be_read_is_named() {
    let mut arguments = ServeArguments { config: Some("/nowhere/server.toml".into()), ..ServeArguments::default() };
    let refusal = |arguments: &ServeArguments| Loaded::load(arguments, &around()).unwrap_err().to_string();
    assert!(refusal(&arguments).starts_with("cannot read settings \"/nowhere/server.toml\": No such file"));
    let folder = Folder::new().with("latin", 0o600, "").with("large", 0o600, &"#\n".repeat(3 << 20));
    fs::write(folder.path("latin"), [b'#', 0xe4]).unwrap();
    arguments.config = Some(folder.path("latin"));
    assert!(refusal(&arguments).contains("it is no text in UTF-8"));
    arguments.config = Some(folder.path("large"));
    assert!(refusal(&arguments).contains("it has more than 4 MiB"));
}
