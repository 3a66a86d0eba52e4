//! What Prometheus asks for.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::connection::{Question, Service, Terms, serve_http1};
use crate::exposition;
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::server::Plane;
use crate::wakeups::Wakeups;

pub(crate) async fn serve_admin(plane: Arc<Plane>, mut stream: TcpStream) {
    serve_http1(&mut stream, &Admin(&plane), true).await;
}

/// Answers what is asked of the proxy itself.
struct Admin<'p>(&'p Plane);

impl Service for Admin<'_> {
    type Body = Answer;

    fn terms(&self) -> Terms {
        Terms {
            limits: Limits::default(),
            ..Terms::of_client(&self.0.config)
        }
    }

    fn wakeups(&self) -> &Wakeups {
        &self.0.wakeups
    }

    async fn answer(&self, question: Question) -> Response<Answer> {
        question.map_or_else(Answer::refuse, |request| admin(self.0, &request))
    }
}

fn admin(plane: &Plane, request: &Request<Inbound>) -> Response<Answer> {
    if request.uri().path() != plane.config.metrics_path {
        return Answer::text(StatusCode::NOT_FOUND, "there is nothing here");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    let mut page = exposition::render(&plane.routing, &plane.config);
    if let Some(tls) = &plane.tls {
        page += &exposition::render_tls(tls);
    }
    if let Some(log) = &plane.log {
        page += &exposition::render_log(log);
    }
    let mut response = Response::new(Answer::Text(Some(page.into())));
    let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
