//! Machines that boot from the network, and what they are to boot.

use pxe::boot::{Doer, Occasion, Target};
use pxe::machine::Mac;
use tokio::task::JoinSet;

use super::bed::{Bed, run};
use crate::site::{
    ComputerRow, DeploymentRow, DeploymentTarget, DoneMark, PolicyChange, Position, PxeError, Redeemed, Site,
    TokenRefusal,
};

const BOARD: &str = "4c4c4544-0042-3510-8052-b7c04f4e3132";

pub(super) fn mac(last: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, last])
}

pub(super) fn computer(name: &str, last: u8) -> ComputerRow {
    ComputerRow { name: name.into(), macs: vec![mac(last)], uuid: None, address: None }
}

pub(super) fn deployment(name: &str, target: DeploymentTarget) -> DeploymentRow {
    DeploymentRow {
        name: name.into(),
        target,
        boot_image: "client".into(),
        image: Some("win11.wim".into()),
        wait_s: None,
        once: false,
        until_ms: None,
    }
}

fn to(name: &str) -> DeploymentTarget {
    DeploymentTarget::Computer(name.into())
}

fn told<T: std::fmt::Debug>(refused: Result<T, PxeError>) -> String {
    refused.unwrap_err().to_string()
}

async fn names(site: &Site) -> Vec<String> {
    site.deployments().await.unwrap().into_iter().map(|deployment| deployment.name).collect()
}

pub(super) async fn computers_are_known_to_all_servers(bed: &Bed) {
    let (site, other) = (bed.open().await, bed.open().await);
    let first = ComputerRow {
        macs: vec![mac(7), mac(3)],
        uuid: Some(BOARD.parse().unwrap()),
        address: Some([10, 0, 0, 7].into()),
        ..computer("pc-7", 7)
    };
    site.add_computer(&first).await.unwrap();
    site.add_computer(&computer("a", 1)).await.unwrap();
    assert_eq!(other.computers().await.unwrap(), [computer("a", 1), first.clone()]);
    let renamed = ComputerRow { name: "pc-8".into(), macs: vec![mac(3)], ..first };
    other.add_deployment(&deployment("d", to("pc-7"))).await.unwrap();
    other.change_computer("pc-7", &renamed).await.unwrap();
    assert_eq!(site.computers().await.unwrap(), [computer("a", 1), renamed]);
    assert_eq!(site.deployments().await.unwrap()[0].target, to("pc-8"), "what is deployed to it goes along");
    other.add_deployment(&deployment("all", DeploymentTarget::All)).await.unwrap();
    assert_eq!(site.remove_computer("pc-8").await.unwrap(), ["d"]);
    assert_eq!((site.computers().await.unwrap().len(), names(&site).await), (1, vec!["all".to_owned()]));
    // Its card is free again.
    site.add_computer(&computer("new", 3)).await.unwrap();
}

pub(super) async fn what_two_computers_share_is_named(bed: &Bed) {
    let site = bed.open().await;
    let first = ComputerRow { address: Some([10, 0, 0, 7].into()), ..computer("pc-7", 7) };
    site.add_computer(&first).await.unwrap();
    assert_eq!(told(site.add_computer(&computer("pc-7", 8)).await), "there is already a computer pc-7");
    let card = ComputerRow { macs: vec![mac(8), mac(7)], ..computer("pc-8", 8) };
    assert_eq!(told(site.add_computer(&card).await), "MAC 52:54:00:00:00:07 already belongs to computer pc-7");
    let address = ComputerRow { address: first.address, ..computer("pc-8", 8) };
    assert_eq!(told(site.add_computer(&address).await), "address 10.0.0.7 is already reserved for computer pc-7");
    assert_eq!(told(site.change_computer("pc-9", &first).await), "there is no computer pc-9");
    assert_eq!(told(site.remove_computer("pc-9").await), "there is no computer pc-9");
    site.add_computer(&computer("pc-8", 8)).await.unwrap();
    assert_eq!(told(site.change_computer("pc-8", &computer("pc-7", 8)).await), "there is already a computer pc-7");
    assert!(site.change_computer("pc-8", &computer("pc-8", 7)).await.is_err());
    assert_eq!(site.computers().await.unwrap()[1], computer("pc-8", 8), "it stays as it was");
}

pub(super) async fn boards_of_one_uuid_need_cards(bed: &Bed) {
    let site = bed.open().await;
    let uuid = Some(BOARD.parse().unwrap());
    site.add_computer(&ComputerRow { uuid, ..computer("a", 1) }).await.unwrap();
    site.add_computer(&ComputerRow { uuid, ..computer("b", 2) }).await.unwrap();
    let bare = ComputerRow { uuid, macs: vec![], ..computer("c", 3) };
    assert_eq!(
        told(site.add_computer(&bare).await),
        format!("UUID {BOARD} is that of computer a, too: give each of them a MAC, by which they are told apart")
    );
    site.remove_computer("a").await.unwrap();
    site.remove_computer("b").await.unwrap();
    site.add_computer(&bare).await.unwrap();
    assert!(told(site.add_computer(&ComputerRow { uuid, ..computer("a", 1) }).await).contains("of computer c, too"));
    let nobody = ComputerRow { uuid: None, ..bare.clone() };
    assert!(told(site.change_computer("c", &nobody).await).starts_with("computer c has neither a MAC nor a UUID"));
    let shared = ComputerRow { uuid: Some("00000000-0000-0000-0000-000000000000".parse().unwrap()), ..bare.clone() };
    assert!(told(site.change_computer("c", &shared).await).contains("many boards have reported it"));
    let group = ComputerRow { macs: vec![Mac([1, 0, 0x5e, 0, 0, 1])], ..bare };
    assert!(told(site.add_computer(&group).await).contains("it is not one card's"));
}

pub(super) async fn deployments_have_an_order(bed: &Bed) {
    let site = bed.open().await;
    for name in ["a", "b", "c"] {
        site.add_deployment(&deployment(name, DeploymentTarget::All)).await.unwrap();
    }
    site.move_deployment("c", &Position::First).await.unwrap();
    assert_eq!(names(&site).await, ["c", "a", "b"]);
    site.move_deployment("b", &Position::Before("a".into())).await.unwrap();
    assert_eq!(names(&site).await, ["c", "b", "a"]);
    site.move_deployment("b", &Position::Before("b".into())).await.unwrap();
    site.move_deployment("c", &Position::Last).await.unwrap();
    assert_eq!(names(&site).await, ["b", "a", "c"]);
    let changed = DeploymentRow {
        wait_s: Some(10),
        once: true,
        until_ms: Some(4_000_000_000_000),
        image: None,
        ..deployment("new", DeploymentTarget::Unknown)
    };
    site.change_deployment("a", &changed).await.unwrap();
    assert_eq!(site.deployments().await.unwrap()[1], changed, "it keeps its place");
    assert_eq!(told(site.change_deployment("new", &deployment("b", to("x"))).await), "there is already a deployment b");
    assert_eq!(told(site.add_deployment(&deployment("d", to("x"))).await), "there is no computer x");
    assert_eq!(told(site.move_deployment("b", &Position::Before("x".into())).await), "there is no deployment x");
    let wait = DeploymentRow { wait_s: Some(0), ..deployment("d", DeploymentTarget::All) };
    assert_eq!(told(site.add_deployment(&wait).await), "wait \"0 s\": it lies outside of 1 to 3600 s");
    assert!(told(site.add_deployment(&deployment("a\nb", to("x"))).await).contains("a control character"));
    site.remove_deployment("b").await.unwrap();
    assert_eq!(told(site.remove_deployment("b").await), "there is no deployment b");
    assert_eq!(names(&site).await, ["new", "c"]);
}

pub(super) async fn a_snapshot_is_what_the_service_point_takes(bed: &Bed) {
    let (site, other) = (bed.open().await, bed.open().await);
    let empty = site.pxe_snapshot().await.unwrap();
    assert_eq!((empty.site.policy, empty.site.computers.len()), (pxe::boot::Policy::default(), 0));
    let mut revision = empty.revision;
    let mut changed = async |what: &str| {
        let now = other.pxe_revision().await.unwrap();
        assert_ne!(std::mem::replace(&mut revision, now), now, "{what}");
    };
    site.add_computer(&computer("pc", 1)).await.unwrap();
    changed("computer").await;
    let once = DeploymentRow { once: true, wait_s: Some(9), ..deployment("d", to("pc")) };
    site.add_deployment(&once).await.unwrap();
    changed("deployment").await;
    let by = |name: &str| Doer::Computer(name.to_owned());
    let marks = [("d", by("pc")), ("d", Doer::Machine(mac(7))), ("gone", by("pc"))];
    let mark =
        |(deployment, by): (&str, Doer)| DoneMark { deployment: deployment.to_owned(), by, mac: mac(7), done: true };
    let marks = marks.map(mark);
    site.put_done(&marks).await.unwrap();
    changed("done").await;
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g".to_owned();
    let change = PolicyChange { unknown: Some(true), password: Some(Some(hash.clone())), ..PolicyChange::default() };
    site.set_pxe_policy(&change).await.unwrap();
    changed("policy").await;

    let snapshot = other.pxe_snapshot().await.unwrap();
    assert_eq!(snapshot.revision, other.pxe_revision().await.unwrap());
    let held = snapshot.site;
    assert_eq!((held.policy.respond, held.policy.unknown, held.policy.password), (true, true, Some(hash)));
    assert_eq!(held.computers[0].macs, [mac(1)]);
    let found = &held.deployments[0];
    assert_eq!((&found.target, found.once), (&Target::Computer("pc".into()), true));
    assert_eq!(found.occasion, Occasion::Available(std::time::Duration::from_secs(9)));
    let key = |mark: &DoneMark| (mark.deployment.clone(), mark.by.clone());
    let done = [key(&marks[0]), key(&marks[1])].into();
    assert_eq!(held.done, done, "what is deployed no more was not done");

    site.put_done(&marks[..1]).await.unwrap();
    assert_eq!(other.pxe_revision().await.unwrap(), snapshot.revision, "nothing new");
    assert_eq!(site.done().await.unwrap().len(), 2);
    site.change_computer("pc", &computer("renamed", 1)).await.unwrap();
    assert_eq!(site.forget_done("d", Some(&[by("pc"), Doer::Machine(mac(2))])).await.unwrap(), 0);
    assert_eq!(site.forget_done("d", Some(&[by("renamed"), Doer::Machine(mac(1))])).await.unwrap(), 1);
    site.put_done(&[DoneMark { done: false, ..marks[1].clone() }]).await.unwrap();
    assert_eq!(site.done().await.unwrap().len(), 0, "it could not be started after all");
    site.put_done(&marks[1..2]).await.unwrap();
    assert_eq!(site.forget_done("d", None).await.unwrap(), 1);
    assert!(other.pxe_snapshot().await.unwrap().site.done.is_empty());
    let off = PolicyChange { respond: Some(false), password: Some(None), ..PolicyChange::default() };
    site.set_pxe_policy(&off).await.unwrap();
    let policy = other.pxe_policy().await.unwrap();
    assert_eq!((policy.respond, policy.unknown, policy.password), (false, true, None));
    let plain = PolicyChange { password: Some(Some("secret".into())), ..PolicyChange::default() };
    assert!(!told(site.set_pxe_policy(&plain).await).contains("secret"));
}

pub(super) async fn a_token_opens_what_its_machine_was_booted_for(bed: &Bed) {
    let (site, other) = (bed.open().await, bed.open().await);
    site.add_deployment(&deployment("d", DeploymentTarget::All)).await.unwrap();
    site.issue_boot_token("secret", mac(1), "d").await.unwrap();
    let kept: String = sqlx::query_scalar("SELECT hash FROM pxe_tokens").fetch_one(&site.pool).await.unwrap();
    assert!(kept.len() == 64 && kept != "secret", "only its hash is kept");
    let redeem = async |token: &str, boot: &str, macs: &[Mac]| other.redeem_boot_token(token, boot, macs).await;
    let refusal = async |token: &str, boot: &str, macs: &[Mac]| match redeem(token, boot, macs).await {
        Err(PxeError::Token(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal("other", "b1", &[mac(1)]).await, TokenRefusal::Unknown);
    assert_eq!(refusal("secret", "b1", &[mac(2)]).await, TokenRefusal::OtherMachine(mac(1)));
    assert_eq!(refusal("secret", "", &[mac(1)]).await, TokenRefusal::Boot(0));
    let opened = Redeemed { deployment: "d".into(), image: Some("win11.wim".into()), mac: mac(1) };
    assert_eq!(redeem("secret", "b1", &[mac(2), mac(1)]).await.unwrap(), opened);
    assert_eq!(redeem("secret", "b1", &[mac(1)]).await.unwrap(), opened, "the same start may ask again");
    assert_eq!(refusal("secret", "b2", &[mac(1)]).await, TokenRefusal::Used);
    site.issue_boot_token("late", mac(1), "d").await.unwrap();
    run(&site, "UPDATE pxe_tokens SET expires_ms = expires_ms - 3600001").await;
    assert_eq!(refusal("late", "b3", &[mac(1)]).await, TokenRefusal::Expired);
    assert_eq!(redeem("secret", "b1", &[mac(1)]).await.unwrap(), opened, "who came in time goes on");
    run(&site, "DELETE FROM pxe_deployments").await;
    assert_eq!(refusal("secret", "b1", &[mac(1)]).await, TokenRefusal::TakenBack("d".into()));
}

pub(super) async fn a_token_is_used_by_one_of_many(bed: &Bed) {
    let site = bed.open().await;
    site.add_deployment(&deployment("d", DeploymentTarget::All)).await.unwrap();
    site.issue_boot_token("secret", mac(1), "d").await.unwrap();
    let mut asks = JoinSet::new();
    for boot in 0..12 {
        let site = bed.open().await;
        asks.spawn(async move { site.redeem_boot_token("secret", &format!("b{boot}"), &[mac(1)]).await.is_ok() });
    }
    assert_eq!(asks.join_all().await.into_iter().filter(|opened| *opened).count(), 1);
}

pub(super) async fn a_machine_that_asks_for_ever_has_few_tokens(bed: &Bed) {
    let site = bed.open().await;
    site.add_deployment(&deployment("d", DeploymentTarget::All)).await.unwrap();
    site.issue_boot_token("other", mac(2), "d").await.unwrap();
    for n in 0..20 {
        site.issue_boot_token(&format!("t{n}"), mac(1), "d").await.unwrap();
    }
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM pxe_tokens").fetch_one(&site.pool).await.unwrap();
    assert_eq!(count, 9);
    assert!(site.redeem_boot_token("t11", "b", &[mac(1)]).await.is_err());
    for (token, card) in [("t12", 1), ("t19", 1), ("other", 2)] {
        site.redeem_boot_token(token, "b", &[mac(card)]).await.unwrap();
    }
}

pub(super) async fn computers_that_many_add_at_once_are_each_once(bed: &Bed) {
    let mut added = JoinSet::new();
    for n in 0..10 {
        let site = bed.open().await;
        added.spawn(async move { site.add_computer(&computer(&format!("pc-{n}"), n / 2)).await.is_ok() });
    }
    assert_eq!(added.join_all().await.into_iter().filter(|added| *added).count(), 5);
    let site = bed.open().await;
    assert_eq!(site.computers().await.unwrap().len(), 5);
}

pub(super) async fn what_was_done_by_cards_is_done_by_their_computers(bed: &Bed) {
    let site = bed.open().await;
    let mut two = computer("two", 1);
    two.macs.push(mac(2));
    site.add_computer(&two).await.unwrap();
    let uuid = "01112233-4455-6677-8899-aabbccddeeff".parse().ok();
    let board = ComputerRow { name: "board".into(), macs: vec![], uuid, address: None };
    site.add_computer(&board).await.unwrap();
    site.add_deployment(&deployment("d", DeploymentTarget::All)).await.unwrap();
    // Back to the tables of version 2.
    for sql in [
        "DROP TABLE pxe_done_by",
        "CREATE TABLE pxe_done (deployment TEXT NOT NULL, mac TEXT NOT NULL, done_ms BIGINT NOT NULL, \
         PRIMARY KEY (deployment, mac))",
        "INSERT INTO pxe_done VALUES ('d', '52:54:00:00:00:01', 5), ('d', '52:54:00:00:00:02', 7), \
         ('d', '52:54:00:00:00:09', 6), ('d', '52:54:00:00:00:08', 4)",
        "INSERT INTO pxe_boots (turn, at_ms, server, mac, uuid, stage, message, refused) VALUES \
         (1, 1, 'a', '52:54:00:00:00:08', '01112233-4455-6677-8899-aabbccddeeff', 'script', 'boots', 0), \
         (2, 2, 'a', '52:54:00:00:00:08', '01112233-4455-6677-8899-aabbccddeeff', 'kernel', 'loads', 0), \
         (3, 3, 'a', '52:54:00:00:00:09', NULL, 'kernel', 'loads', 0)",
        "DELETE FROM _sqlx_migrations WHERE version = 3",
    ] {
        run(&site, sql).await;
    }
    site.close().await;
    let done = bed.open().await.done().await.unwrap();
    let done: Vec<_> = done.into_iter().map(|row| (row.by, row.done_ms)).collect();
    let by = |name: &str| Doer::Computer(name.into());
    assert_eq!(done, [(by("two"), 7), (Doer::Machine(mac(9)), 6), (by("board"), 4)]);

    // What a computer did its machine did, should the site forget the computer.
    let site = bed.open().await;
    let mark = DoneMark { deployment: "d".into(), by: by("nobody"), mac: mac(5), done: true };
    site.put_done(std::slice::from_ref(&mark)).await.unwrap();
    site.remove_computer("two").await.unwrap();
    let mut done: Vec<_> = site.done().await.unwrap().into_iter().map(|row| row.by).collect();
    done.sort();
    assert_eq!(done, [by("board"), Doer::Machine(mac(2)), Doer::Machine(mac(5)), Doer::Machine(mac(9))]);
    site.put_done(&[DoneMark { done: false, ..mark }]).await.unwrap();
    assert_eq!(site.done().await.unwrap().len(), 3);
}
