//! What both databases must do, said once.
//!
//! SQLite's tests always run. PostgreSQL's need a server: a URL of an account that may create schemas and
//! roles, in `MCAST_TEST_POSTGRES`, and `cargo test -- --ignored`. Each test has a schema of its own.

mod bed;
mod errors;
mod outage;
mod proxy;
mod pxe;
mod pxe_log;
mod records;
mod servers;
mod tickets;

/// Each claim becomes a test on either database.
macro_rules! on_both {
    ($($module:ident::$claim:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    let bed = super::bed::Bed::sqlite();
                    super::$module::$claim(&bed).await;
                    bed.clear().await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs a PostgreSQL server: MCAST_TEST_POSTGRES=postgres://…"]
                async fn $claim() {
                    let bed = super::bed::Bed::postgres().await;
                    super::$module::$claim(&bed).await;
                    bed.clear().await;
                }
            )+
        }
    };
}

on_both! {
    servers::a_silent_server_is_dead_and_only_that_one,
    servers::nobody_dies_of_the_databases_own_absence,
    servers::a_server_that_left_leaves_nothing_behind,
    servers::a_server_that_the_site_forgot_is_told_so,
    servers::an_address_is_taken_once,
    servers::one_address_is_shared_by_ports,
    servers::two_servers_never_take_the_same_place,
    servers::leases_are_kept,
    tickets::the_cap_holds_over_servers,
    tickets::a_higher_priority_goes_first,
    tickets::who_stops_asking_loses_its_place,
    tickets::a_dead_servers_tickets_are_void,
    tickets::what_was_asked_for_after_it_was_freed_stays,
    tickets::tickets_become_those_of_the_clients_that_are_served,
    tickets::what_was_asked_for_after_the_look_is_not_set_right,
    tickets::who_was_served_without_a_ticket_counts_against_the_cap,
    tickets::fifty_clients_at_two_servers_are_served_in_their_order,
    records::a_session_is_seen_by_all_and_resumed_by_its_server,
    records::clients_have_a_history,
    records::what_is_old_is_forgotten,
    records::images_are_those_of_living_servers,
    records::settings_are_settled_once,
    records::a_command_arrives_once,
    records::many_open_a_new_site_at_once,
    records::a_newer_schema_is_refused,
    pxe::computers_are_known_to_all_servers,
    pxe::what_two_computers_share_is_named,
    pxe::boards_of_one_uuid_need_cards,
    pxe::deployments_have_an_order,
    pxe::a_snapshot_is_what_the_service_point_takes,
    pxe::what_was_done_by_cards_is_done_by_their_computers,
    pxe::a_token_opens_what_its_machine_was_booted_for,
    pxe::a_token_is_used_by_one_of_many,
    pxe::a_machine_that_asks_for_ever_has_few_tokens,
    pxe::computers_that_many_add_at_once_are_each_once,
    pxe_log::what_happened_is_read_from_its_end,
    pxe_log::what_happened_is_kept_in_bounds,
    pxe_log::leases_outlive_their_server,
    records::the_recorder_writes_the_latest,
    records::what_the_database_will_not_keep_is_given_up,
}
