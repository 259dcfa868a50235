//! Who may do what: bearer tokens and their roles (RFC 6750).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Shared;
use super::error::Refused;
use crate::config::{Role, Secret, Token};

/// Whose token a request bears; as an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) name: String,
    pub(crate) role: Role,
    token: Secret,
}

impl Bearer {
    /// Whether the same token would still be let in where `needs` is needed, by tokens that may have changed since.
    pub(super) fn may_still(&self, tokens: &[Token], needs: Role) -> bool {
        // All are compared, as in `check`.
        tokens.iter().fold(false, |may, token| may | ((token.token == self.token) & (token.role >= needs)))
    }
}

/// Lets through who may at least see.
pub(super) async fn viewer(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    require(&shared, Role::Viewer, request, next).await
}

/// Lets through who may act.
pub(super) async fn operator(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    require(&shared, Role::Operator, request, next).await
}

/// Lets through who may read the metrics.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    require(&shared, Role::Metrics, request, next).await
}

async fn require(shared: &Shared, role: Role, mut request: Request, next: Next) -> Response {
    match check(&shared.point.settings().tokens, request.headers(), role) {
        Ok(bearer) => {
            request.extensions_mut().insert(bearer);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

fn check(tokens: &[Token], headers: &HeaderMap, needs: Role) -> Result<Bearer, Refused> {
    if tokens.is_empty() {
        return Err(Refused::new(StatusCode::FORBIDDEN, "the API is off: no token is configured")
            .with_help("make one with `mcast-server token` and name it in a [[token]] of the configuration"));
    }
    let scheme = |value: &str| value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(said) = value.filter(|value| scheme(value)).map(|value| value[7..].trim()) else {
        return Err(Refused::new(StatusCode::UNAUTHORIZED, "no token is given")
            .with_help("send it as: Authorization: Bearer TOKEN"));
    };
    // All are compared, each in constant time: how long it takes tells nothing.
    let known = tokens.iter().fold(None, |known, token| {
        let same: bool = token.token.expose().as_bytes().ct_eq(said.as_bytes()).into();
        if same { Some(token) } else { known }
    });
    let Some(token) = known else { return Err(Refused::new(StatusCode::UNAUTHORIZED, "the token is not known")) };
    if token.role < needs {
        let text = format!("token {:?} has role {}, this needs {}", token.name, token.role.word(), needs.word());
        return Err(Refused::new(StatusCode::FORBIDDEN, text));
    }
    Ok(Bearer { name: token.name.clone(), role: token.role, token: token.token.clone() })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::Secret;

    fn token(name: &str, role: Role, secret: &str) -> Token {
        Token { name: name.to_owned(), role, token: Secret::new(secret), token_file: None }
    }

    fn status(tokens: &[Token], said: Option<&str>, needs: Role) -> u16 {
        let value = said.map(|said| (header::AUTHORIZATION, HeaderValue::from_str(said).unwrap()));
        match check(tokens, &HeaderMap::from_iter(value), needs) {
            Ok(_) => 200,
            Err(refused) => refused.into_response().status().as_u16(),
        }
    }

    #[test]
    fn a_role_opens_what_lies_below_it_and_nothing_above() {
        let tokens = [
            token("grafana", Role::Metrics, "metrics-0123456789abcdef"),
            token("wall", Role::Viewer, "viewer-0123456789abcdef"),
            token("ops", Role::Operator, "operator-0123456789abcdef"),
        ];
        for (secret, allowed) in [("metrics", [200, 403, 403]), ("viewer", [200, 200, 403]), ("operator", [200; 3])] {
            let said = format!("Bearer {secret}-0123456789abcdef");
            let found = [Role::Metrics, Role::Viewer, Role::Operator].map(|role| status(&tokens, Some(&said), role));
            assert_eq!(found, allowed, "{secret}");
        }
    }

    #[test]
    fn a_token_that_was_removed_changed_or_lowered_since_opens_nothing_more() {
        let tokens = [token("wall", Role::Viewer, "viewer-0123456789abcdef"), token("ops", Role::Operator, "operator")];
        let said = HeaderValue::from_static("Bearer viewer-0123456789abcdef");
        let bearer = check(&tokens, &HeaderMap::from_iter([(header::AUTHORIZATION, said)]), Role::Viewer).unwrap();
        let still = |tokens: &[Token]| bearer.may_still(tokens, Role::Viewer);
        assert!(still(&tokens));
        assert!(still(&[token("another name", Role::Operator, "viewer-0123456789abcdef")]));
        assert!(!still(&tokens[1..]));
        assert!(!still(&[]));
        assert!(!still(&[token("wall", Role::Viewer, "another-0123456789abcdef")]));
        assert!(!still(&[token("wall", Role::Metrics, "viewer-0123456789abcdef")]));
    }

    #[test]
    fn without_a_token_and_with_a_wrong_one_nobody_comes_in() {
        let tokens = [token("ops", Role::Operator, "operator-0123456789abcdef")];
        let wrong =
            [None, Some("Basic b3Bz"), Some("Bearer "), Some("Bearer operator-0123456789abcde"), Some("Bearer")];
        for said in wrong {
            assert_eq!(status(&tokens, said, Role::Metrics), 401, "{said:?}");
        }
        assert_eq!(status(&tokens, Some("bearer operator-0123456789abcdef"), Role::Operator), 200);
        assert_eq!(status(&[], Some("Bearer x"), Role::Metrics), 403, "off as long as there is none");
    }
}
