//! Whose fault it is, and what to do.

use std::fs;

use super::bed::{Bed, administer, url, with_schema};
use crate::site::{Account, Backend, Site, SiteError};

async fn refused(backend: Backend) -> SiteError {
    Site::open(backend).await.unwrap_err()
}

#[tokio::test]
async fn a_file_that_cannot_be_is_named() {
    let bed = Bed::sqlite();
    let missing = bed.folder().join("no/such/site.db");
    let error = refused(Backend::Sqlite { file: missing.clone() }).await;
    assert!(matches!(&error, SiteError::File { path, .. } if *path == missing), "{error:?}");
    assert!(error.to_string().ends_with("No such file or directory (os error 2)"), "{error}");
    let folder = refused(Backend::Sqlite { file: bed.folder().into() }).await;
    assert!(matches!(folder, SiteError::File { .. }), "{folder:?}");
}

#[tokio::test]
async fn a_file_of_something_else_is_left_alone() {
    let bed = Bed::sqlite();
    let file = bed.folder().join("notes.txt");
    let notes = "not a database\n".repeat(1000);
    fs::write(&file, &notes).unwrap();
    let error = refused(Backend::Sqlite { file: file.clone() }).await;
    assert!(matches!(error, SiteError::NotADatabase { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(file).unwrap(), notes);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::sqlite();
    let site = bed.open().await;
    site.check().await.unwrap();
    let Backend::Sqlite { file } = &bed.backend else { panic!("not SQLite") };
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    site.close().await;
    assert!(!file.with_file_name("site.db-wal").exists(), "all is in the file");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_apart() {
    let backend = |url: &str| Backend::Postgres { url: url.into(), account: Account::default() };
    // A port that nobody listens on, since it was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = refused(backend(&format!("postgres://a:secret@127.0.0.1:{port}/site"))).await;
    assert!(nobody.is_unreachable(), "{nobody:?}");
    assert_eq!(
        nobody.to_string(),
        format!("cannot reach the site database \"site\" at 127.0.0.1:{port}: Connection refused (os error 111)")
    );
    assert!(!format!("{nobody:?}").contains("secret"));
    let socket = refused(backend("postgres:///site?host=/no/such/folder")).await;
    assert!(socket.is_unreachable(), "{socket:?}");
    let host = refused(backend("postgres://nowhere.invalid/site")).await;
    assert!(matches!(&host, SiteError::UnknownHost { host, .. } if host == "nowhere.invalid"), "{host:?}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: MCAST_TEST_POSTGRES=postgres://…"]
async fn postgres_says_what_is_wrong_with_an_account() {
    let bed = Bed::postgres().await;
    let role = format!("role_{}", bed.schema());
    administer(&format!("CREATE ROLE {role} LOGIN PASSWORD 'right'")).await;
    let account = |password: &str| Account { user: Some(role.clone()), password: Some(password.into()) };
    let at = with_schema(&url(), bed.schema());

    let password = refused(Backend::Postgres { url: at.clone(), account: account("wrong-one") }).await;
    assert!(matches!(&password, SiteError::WrongPassword { user, .. } if *user == role), "{password:?}");
    assert!(!format!("{password:?} {password}").contains("wrong-one"));
    let privilege = refused(Backend::Postgres { url: at.clone(), account: account("right") }).await;
    assert!(matches!(privilege, SiteError::NoPrivilege { .. }), "{privilege:?}");
    assert!(privilege.help().unwrap().contains(&role));
    let mut elsewhere: sqlx::any::AnyConnectOptions = url().parse().unwrap();
    elsewhere.database_url.set_path("/nothing_here");
    let elsewhere = Backend::Postgres { url: elsewhere.database_url.into(), account: account("right") };
    let database = refused(elsewhere).await;
    assert!(matches!(&database, SiteError::NoDatabase { database, .. } if database == "nothing_here"), "{database:?}");
    assert_eq!(
        database.help().unwrap(),
        format!("create it as PostgreSQL's administrator: createdb --owner={role} nothing_here")
    );

    // An account that may use the tables and not change them is enough, once they are there.
    bed.open().await.close().await;
    let schema = bed.schema();
    administer(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
    ))
    .await;
    let site = Site::open(Backend::Postgres { url: at, account: account("right") }).await.unwrap();
    site.site_id().await.unwrap();
    site.close().await;
    bed.clear().await;
    administer(&format!("DROP ROLE {role}")).await;
}

/// By the system's user, over the Unix socket.
#[tokio::test]
#[ignore = "needs a PostgreSQL server with peer authentication: MCAST_TEST_POSTGRES_PEER=postgres:///DB?host=/FOLDER"]
async fn a_peer_needs_no_password() {
    let url = std::env::var("MCAST_TEST_POSTGRES_PEER").expect("MCAST_TEST_POSTGRES_PEER names the server's socket");
    let site = Site::open(Backend::Postgres { url: url.clone(), account: Account::default() }).await.unwrap();
    site.site_id().await.unwrap();
    site.close().await;
    let account = Account { user: Some("somebody_else".into()), password: Some("secret".into()) };
    let other = refused(Backend::Postgres { url, account }).await;
    assert!(matches!(&other, SiteError::AccessDenied { user, .. } if user == "somebody_else"), "{other:?}");
}
