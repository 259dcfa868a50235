//! Which session or client is meant by what somebody typed.

use super::answers::{ClientView, SessionView};
use super::api::Api;
use super::error::CtlError;

/// The session with the id `wanted`; else the only one whose id begins with it, or whose image has that name.
pub(super) fn session<'a>(all: &'a [SessionView], wanted: &str, server: &str) -> Result<&'a SessionView, CtlError> {
    if let Some(exact) = all.iter().find(|session| session.id == wanted) {
        return Ok(exact);
    }
    let fits = |session: &&SessionView| session.image == wanted || session.id.starts_with(wanted);
    let (server, wanted) = (server.to_owned(), wanted.to_owned());
    match all.iter().filter(fits).collect::<Vec<_>>()[..] {
        [] => Err(CtlError::NoSession { server, wanted }),
        [only] => Ok(only),
        ref several => {
            let choice = |session: &&SessionView| {
                format!("{}  {} on {}, {}", session.id, session.image, session.server, session.state)
            };
            Err(CtlError::Ambiguous { things: "sessions", wanted, choices: several.iter().map(choice).collect() })
        }
    }
}

/// The client with the id `wanted`; else the only one whose id begins with it, or whose host has that name.
pub(super) fn client<'a>(all: &'a [ClientView], wanted: &str, session: &str) -> Result<&'a ClientView, CtlError> {
    if let Some(exact) = all.iter().find(|client| client.client == wanted) {
        return Ok(exact);
    }
    let fits = |client: &&ClientView| client.host == wanted || client.client.starts_with(wanted);
    let (session, wanted) = (session.to_owned(), wanted.to_owned());
    match all.iter().filter(fits).collect::<Vec<_>>()[..] {
        [] => Err(CtlError::NoClient { session, wanted }),
        [only] => Ok(only),
        ref several => {
            let choice = |client: &&ClientView| {
                format!("{}  {} at {}, {}", client.client, client.host, client.address, client.state)
            };
            Err(CtlError::Ambiguous { things: "clients", wanted, choices: several.iter().map(choice).collect() })
        }
    }
}

/// All sessions of the site that run.
pub(super) fn sessions(api: &Api) -> Result<Vec<SessionView>, CtlError> {
    api.parsed(&api.get("api/v1/sessions")?)
}

#[cfg(test)]
mod tests {
    use super::super::show::samples;
    use super::*;

    fn sessions() -> Vec<SessionView> {
        let (mut one, mut two, mut other) = (samples::session(), samples::session(), samples::session());
        (one.id, one.image) = ("68d0aa".to_owned(), "a.img".to_owned());
        (two.id, two.image) = ("68d0ab".to_owned(), "b.img".to_owned());
        (other.id, other.image, other.server) = ("77aa".to_owned(), "b.img".to_owned(), "dp2".to_owned());
        vec![one, two, other]
    }

    #[test]
    fn a_session_is_meant_by_its_id_a_beginning_of_it_or_its_image() {
        let all = sessions();
        for (wanted, id) in [("68d0aa", "68d0aa"), ("68d0ab", "68d0ab"), ("7", "77aa"), ("a.img", "68d0aa")] {
            assert_eq!(session(&all, wanted, "s").unwrap().id, id, "{wanted}");
        }
    }

    #[test]
    fn what_means_several_or_none_is_refused_with_the_choices() {
        let all = sessions();
        let error = session(&all, "68", "s").unwrap_err();
        assert_eq!(error.text(), "\"68\" means 2 sessions");
        assert!(error.help().unwrap().contains("68d0ab  b.img on dp1, running"), "{error:?}");
        assert_eq!(session(&all, "b.img", "s").unwrap_err().exit().code(), 2);
        assert_eq!(session(&all, "B.img", "s").unwrap_err().exit().code(), 3);
    }

    #[test]
    fn an_id_that_is_the_beginning_of_another_one_is_itself() {
        let mut all = sessions();
        all[0].id = "68d0ab0".to_owned();
        assert_eq!(session(&all, "68d0ab", "s").unwrap().image, "b.img");
    }

    #[test]
    fn a_client_is_meant_by_its_id_a_beginning_of_it_or_its_host_alone() {
        let (mut one, mut two) = (samples::client(), samples::client());
        (one.client, one.host) = ("00aa".to_owned(), "pc-1".to_owned());
        (two.client, two.host) = ("00ab".to_owned(), "pc-2".to_owned());
        let mut all = vec![one, two];
        for (wanted, id) in [("00aa", "00aa"), ("00ab", "00ab"), ("pc-2", "00ab")] {
            assert_eq!(client(&all, wanted, "s").unwrap().client, id, "{wanted}");
        }
        assert_eq!(client(&all, "00", "s").unwrap_err().text(), "\"00\" means 2 clients");
        assert_eq!(client(&all, "pc-3", "s").unwrap_err().exit().code(), 3);
        all[1].host = "pc-1".to_owned();
        assert_eq!(client(&all, "pc-1", "s").unwrap_err().text(), "\"pc-1\" means 2 clients");
        // A host may be named as another client's id begins.
        all[1].host = "00a".to_owned();
        assert_eq!(client(&all, "00a", "s").unwrap_err().text(), "\"00a\" means 2 clients");
    }
}
