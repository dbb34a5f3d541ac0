use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::super::outcome::{Cause, Throttle};
use super::*;

const TOKEN: &str = "a+token/of_letters-and-digits-about-as-long-as+they/come=";
const KEY: Uuid = Uuid::from_u128(0x123e4567_e89b_12d3_a456_426614174000);
const ID: &str = "x-line-request-id: 3ed4c1d0-a1\r\n";
const JSON_TYPE: &str = "content-type: application/json\r\n";

/// What the fake LINE does once it has read a request whole.
#[derive(Clone)]
enum Then {
    Answer(Vec<u8>),
    Reset,
    Hang,
}

/// A fake LINE that treats every request alike and passes on its bytes.
struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Server {
    async fn start(then: Then) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, then.clone(), sender.clone()));
            }
        });
        Server { address, requests }
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> Client {
        client(&self.base())
    }
}

async fn serve(mut stream: TcpStream, then: Then, requests: mpsc::UnboundedSender<Vec<u8>>) {
    let mut received = Vec::new();
    loop {
        while !is_whole(&received) {
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return;
            }
        }
        requests.send(std::mem::take(&mut received)).unwrap_or_default();
        match &then {
            Then::Answer(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
                if bytes.windows(17).any(|window| window == b"connection: close") {
                    return;
                }
            }
            Then::Reset => return stream.set_zero_linger().unwrap(),
            Then::Hang => std::future::pending().await,
        }
    }
}

/// Whether the head is complete and as much of a body has come as it announces.
fn is_whole(received: &[u8]) -> bool {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
    let length = head
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
    received.len() >= end + 4 + length
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Any\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

fn client(base: &str) -> Client {
    client_with(base, Timeouts::default())
}

/// For peers that never answer; the others have all the time that a busy machine needs.
fn impatient(base: &str) -> Client {
    client_with(base, Timeouts { connect: Duration::from_millis(200), request: Duration::from_millis(300) })
}

fn client_with(base: &str, timeouts: Timeouts) -> Client {
    let client = Client::new(base.parse().unwrap(), timeouts).unwrap();
    client.set_token(Some(SecretString::from(TOKEN))).unwrap();
    client
}

async fn push_to(then: Then) -> Outcome {
    Server::start(then).await.client().push(KEY, "{}").await
}

fn accepted(request_id: &str, accepted_earlier: bool) -> Outcome {
    Outcome::Accepted { request_id: request_id.to_owned(), accepted_earlier }
}

fn refused(status: u16, message: &str, details: &[(&str, &str)], cause: Cause) -> Outcome {
    let details = details
        .iter()
        .map(|(property, message)| Detail { property: (*property).into(), message: (*message).into() })
        .collect();
    Outcome::Refused(Refusal { status, message: message.to_owned(), details, cause })
}

fn ambiguous(text: &str) -> Outcome {
    Outcome::Ambiguous(text.to_owned())
}

fn unauthorized(status: u16, message: &str) -> Outcome {
    Outcome::Unauthorized { status, message: message.to_owned() }
}

fn foreign(status: u16) -> Outcome {
    ambiguous(&format!("status {status} without x-line-request-id: something other than LINE answered"))
}

#[tokio::test]
async fn an_answer_is_sorted_by_status_and_by_who_gave_it() {
    let sent = r#"{"sentMessages":[{"id":"461230966842064897","quoteToken":"q"}]}"#;
    let again = r#"{"message":"The retry key is already accepted"}"#;
    let again_push = r#"{"message":"The retry key is already accepted","sentMessages":[{"id":"4612"}]}"#;
    let html = "<html><body>Bad Gateway</body></html>";
    let both_ids = format!("{ID}X-Line-Accepted-Request-Id: the-first\r\n");
    let rate = "The API rate limit has been exceeded. Try again later.";
    let monthly = "You have reached your monthly limit.";
    let said = |message: &str| format!(r#"{{"message":"{message}"}}"#);
    let failed = "Failed to send messages";
    let to = "The property, 'to', in the request body is invalid (line: -, column: -)";
    let to_1 = "The property, to[1], in the request body is invalid (line: -, column: -)";
    let bad_json = "The request body could not be parsed as JSON (line: 1, column: 2)";
    let detailed = r#"{"message":"The request body has 1 error(s)","details":[
        {"message":"Length must be between 0 and 5000","property":"messages[0].text"}]}"#;
    let long_text = [("messages[0].text", "Length must be between 0 and 5000")];
    let auth = "Authentication failed due to the following reason: invalid token";
    let plan = "Access to this API is not available for your account";

    let cases: Vec<(u16, &str, String, Outcome)> = vec![
        (200, ID, sent.into(), accepted("3ed4c1d0-a1", false)),
        (200, ID, "{}".into(), accepted("3ed4c1d0-a1", false)),
        (200, "X-LINE-Request-ID: shouted\r\n", "{}".into(), accepted("shouted", false)),
        (202, ID, "{}".into(), accepted("3ed4c1d0-a1", false)),
        (200, ID, html.into(), accepted("3ed4c1d0-a1", false)),
        (200, "", html.into(), foreign(200)),
        (200, "x-line-request-id: \r\n", "{}".into(), foreign(200)),
        (409, ID, again.into(), accepted("3ed4c1d0-a1", true)),
        (409, &both_ids, again.into(), accepted("the-first", true)),
        (409, &both_ids, again_push.into(), accepted("the-first", true)),
        (409, "", again.into(), foreign(409)),
        (400, ID, said(failed), refused(400, failed, &[], Cause::Recipient)),
        (400, ID, said(to), refused(400, to, &[], Cause::Recipient)),
        (400, ID, said(to_1), refused(400, to_1, &[], Cause::RecipientAt(1))),
        (
            400,
            ID,
            detailed.into(),
            refused(400, "The request body has 1 error(s)", &long_text, Cause::Content),
        ),
        (400, ID, said(bad_json), refused(400, bad_json, &[], Cause::Content)),
        (400, ID, said("Something new"), refused(400, "Something new", &[], Cause::Other)),
        (400, ID, html.into(), refused(400, "", &[], Cause::Other)),
        (400, ID, String::new(), refused(400, "", &[], Cause::Other)),
        (400, "", said(to), foreign(400)),
        (401, ID, said(auth), unauthorized(401, auth)),
        (401, "", html.into(), foreign(401)),
        (403, ID, said(plan), unauthorized(403, plan)),
        (403, "", html.into(), foreign(403)),
        (404, ID, said("Not found"), refused(404, "Not found", &[], Cause::Other)),
        (408, ID, String::new(), ambiguous("status 408")),
        (410, ID, String::new(), refused(410, "", &[], Cause::Other)),
        (413, ID, said("Too large"), refused(413, "Too large", &[], Cause::TooLarge)),
        (413, "", html.into(), foreign(413)),
        (415, ID, said("no"), refused(415, "no", &[], Cause::Other)),
        (429, ID, said(rate), Outcome::Throttled(Throttle::Rate)),
        (429, ID, said(monthly), Outcome::Throttled(Throttle::MonthlyLimit)),
        (429, ID, said("Slow down"), Outcome::Throttled(Throttle::Unclear("Slow down".into()))),
        (429, ID, html.into(), Outcome::Throttled(Throttle::Unclear(String::new()))),
        (429, "", said(rate), foreign(429)),
        (500, ID, said("Internal server error"), ambiguous("status 500 Internal server error")),
        (502, "", html.into(), foreign(502)),
        (503, ID, String::new(), ambiguous("status 503")),
        (304, ID, String::new(), ambiguous("status 304")),
    ];
    for (status, headers, body, expected) in cases {
        let outcome = push_to(Then::Answer(answer(status, headers, &body))).await;
        assert_eq!(outcome, expected, "status {status}, headers {headers:?}, body {body}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Server::start(Then::Answer(answer(200, ID, "{}"))).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: http://{}/v2/bot/message/push\r\n", elsewhere.address);
        assert_eq!(push_to(Then::Answer(answer(status, &location, ""))).await, foreign(status));
        let with_id = format!("{ID}{location}");
        let expected = ambiguous(&format!("status {status}"));
        assert_eq!(push_to(Then::Answer(answer(status, &with_id, ""))).await, expected);
    }
    assert!(elsewhere.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_leaves_the_status() {
    let cut = |status: u16| {
        format!("HTTP/1.1 {status} Any\r\n{ID}connection: close\r\ncontent-length: 99\r\n\r\n{{\"mess")
            .into_bytes()
    };
    let stalled =
        |status: u16| format!("HTTP/1.1 {status} Any\r\n{ID}content-length: 99\r\n\r\n{{\"mess").into_bytes();
    let huge = |status: u16| {
        let padding = "x".repeat(ANSWER_BYTES_MAX);
        answer(status, ID, &format!(r#"{{"message":"{padding}"}}"#))
    };
    let expected = [
        (200, accepted("3ed4c1d0-a1", false)),
        (409, accepted("3ed4c1d0-a1", true)),
        (400, refused(400, "", &[], Cause::Other)),
        (500, ambiguous("status 500")),
    ];
    for (status, expected) in expected {
        assert_eq!(push_to(Then::Answer(cut(status))).await, expected);
        assert_eq!(push_to(Then::Answer(huge(status))).await, expected);
        let server = Server::start(Then::Answer(stalled(status))).await;
        let outcome = impatient(&server.base()).push(KEY, "{}").await;
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = client(&format!("http://{free}")).push(KEY, "{}").await;
    let Outcome::NotSent(text) = &outcome else { panic!("{outcome:?}") };
    assert!(text.to_lowercase().contains("connection refused"), "{text}");
}

#[tokio::test]
async fn a_failed_tls_handshake_sent_nothing() {
    // Plain HTTP where TLS is spoken, and a peer that never says a word.
    let garbage = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [garbage.local_addr().unwrap(), silent.local_addr().unwrap()];
    tokio::spawn(async move {
        let (mut stream, _) = garbage.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    for address in addresses {
        let outcome = impatient(&format!("https://{address}")).push(KEY, "{}").await;
        assert!(matches!(outcome, Outcome::NotSent(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_ambiguous() {
    for then in [Then::Hang, Then::Reset, Then::Answer(b"not HTTP\r\nconnection: close\r\n\r\n".to_vec())] {
        let mut server = Server::start(then).await;
        let outcome = impatient(&server.base()).push(KEY, "{}").await;
        assert!(matches!(outcome, Outcome::Ambiguous(_)), "{outcome:?}");
        assert!(server.requests.try_recv().is_ok());
        assert!(server.requests.try_recv().is_err(), "an attempt is one request");
    }
}

#[tokio::test]
async fn a_request_reaches_the_server_unchanged() {
    let mut server = Server::start(Then::Answer(answer(200, ID, "{}"))).await;
    let client = server.client();
    let body =
        "{\"to\": \"U…\",\n \"messages\":[{\"type\":\"text\",\"text\":\"こんにちは\\n🍎 \\u3042\"}]}\r\n\r\n";
    let version = env!("CARGO_PKG_VERSION");
    for path in ["push", "multicast"] {
        let outcome = match path {
            "push" => client.push(KEY, body).await,
            _ => client.multicast(KEY, body.as_bytes().to_vec()).await,
        };
        assert_eq!(outcome, accepted("3ed4c1d0-a1", false));
        let request = String::from_utf8(server.requests.recv().await.unwrap()).unwrap();
        let (head, sent) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(sent, body);
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(lines.remove(0), format!("POST /v2/bot/message/{path} HTTP/1.1"));
        lines.sort_unstable();
        let expected = [
            "accept: */*".to_owned(),
            format!("authorization: Bearer {TOKEN}"),
            format!("content-length: {}", body.len()),
            "content-type: application/json".to_owned(),
            format!("host: {}", server.address),
            format!("user-agent: amadare/{version}"),
            "x-line-retry-key: 123e4567-e89b-12d3-a456-426614174000".to_owned(),
        ];
        assert_eq!(lines, expected);
    }
}

#[tokio::test]
async fn a_token_is_replaced_for_all_clones_and_an_unusable_one_is_not_taken() {
    let mut server = Server::start(Then::Answer(answer(200, ID, "{}"))).await;
    let client = server.client();
    let clone = client.clone();
    for (token, expected) in [("second", "second"), ("third\n", "second"), ("", "second"), ("ü", "second")] {
        let taken = client.set_token(Some(SecretString::from(token)));
        assert_eq!(taken.is_ok(), token == expected, "{token:?}");
        clone.push(KEY, "{}").await;
        let request = String::from_utf8(server.requests.recv().await.unwrap()).unwrap();
        assert!(request.contains(&format!("authorization: Bearer {expected}\r\n")), "{request}");
    }
    client.set_token(None).unwrap();
    assert_eq!(clone.push(KEY, "{}").await, Outcome::NoToken);
    assert_eq!(clone.quota().await, Err(CallError::NoToken));
    assert!(server.requests.try_recv().is_err());
}

#[tokio::test]
async fn connections_are_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    let (sender, mut requests) = mpsc::unbounded_channel();
    // Accepts once only: a request on a second connection would get no answer.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, Then::Answer(answer(200, ID, "{}")), sender).await;
    });
    for _ in 0..3 {
        assert_eq!(client.push(KEY, "{}").await, accepted("3ed4c1d0-a1", false));
        requests.recv().await.unwrap();
    }
}

#[tokio::test]
async fn no_text_holds_a_token_or_an_id() {
    let user = format!("U{}", "0123456789abcdef".repeat(2));
    let body = format!(r#"{{"message":"no {TOKEN} for {user}.\nBye","details":[{{"property":"{user}"}}]}}"#);
    for status in [400, 401, 429, 500] {
        let server = Server::start(Then::Answer(answer(status, ID, &body))).await;
        let outcome = format!("{:?} {:?}", server.client().push(KEY, "{}").await, server.client());
        assert!(!outcome.contains(&user) && !outcome.contains("letters-and"), "{outcome}");
    }
    let server = Server::start(Then::Reset).await;
    let error = server.client().profile(&user).await.unwrap_err();
    assert!(!error.to_string().contains(&user), "{error}");
}

#[tokio::test]
async fn reads_give_what_line_says() {
    async fn asking(body: &str) -> Client {
        Server::start(Then::Answer(answer(200, &format!("{ID}{JSON_TYPE}"), body))).await.client()
    }
    let bot = r#"{"userId":"U1","basicId":"@216ru","displayName":"雨垂れ","chatMode":"bot",
        "markAsReadMode":"auto","new":{}}"#;
    let expected = BotInfo {
        user_id: "U1".into(),
        basic_id: "@216ru".into(),
        premium_id: None,
        display_name: "雨垂れ".into(),
    };
    assert_eq!(asking(bot).await.bot_info().await, Ok(expected));

    assert_eq!(asking(r#"{"type":"none"}"#).await.quota().await, Ok(Quota::None));
    assert_eq!(asking(r#"{"type":"limited","value":1000}"#).await.quota().await, Ok(Quota::Limited(1000)));
    assert_eq!(asking(r#"{"totalUsage":500}"#).await.consumption().await, Ok(500));

    let profile = r#"{"displayName":"Ann","userId":"U1","language":"ja","pictureUrl":"https://p.example/1"}"#;
    let expected = Profile {
        display_name: "Ann".into(),
        language: Some("ja".into()),
        picture_url: Some("https://p.example/1".into()),
        status_message: None,
    };
    assert_eq!(asking(profile).await.profile("U1").await, Ok(Some(expected)));

    for odd in
        [r#"{"type":"limited"}"#, r#"{"type":"soon","value":1}"#, r#"{"type":"limited","value":-1}"#, "<"]
    {
        let answer = asking(odd).await.quota().await;
        assert!(matches!(answer, Err(CallError::Unanswered(_))), "{odd}: {answer:?}");
    }
}

#[tokio::test]
async fn reads_ask_the_documented_paths() {
    let mut server = Server::start(Then::Answer(answer(500, ID, ""))).await;
    let client = server.client();
    client.bot_info().await.unwrap_err();
    client.quota().await.unwrap_err();
    client.consumption().await.unwrap_err();
    client.profile("U1").await.unwrap_err();
    client.validate_push(b"[]").await.unwrap_err();
    for expected in [
        "GET /v2/bot/info HTTP/1.1",
        "GET /v2/bot/message/quota HTTP/1.1",
        "GET /v2/bot/message/quota/consumption HTTP/1.1",
        "GET /v2/bot/profile/U1 HTTP/1.1",
        "POST /v2/bot/message/validate/push HTTP/1.1",
    ] {
        let request = String::from_utf8(server.requests.recv().await.unwrap()).unwrap();
        assert_eq!(request.split("\r\n").next(), Some(expected));
        // LINE answers 400 to a retry key where none is expected.
        assert!(!request.contains("x-line-retry-key"), "{request}");
        assert!(request.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_read_that_brings_nothing_says_why() {
    let unanswered = |text: &str| CallError::Unanswered(text.to_owned());
    let foreign = |status| {
        CallError::Unanswered(format!(
            "status {status} without x-line-request-id: something other than LINE answered"
        ))
    };
    let refusal = Refusal { status: 400, message: "bad".into(), details: Vec::new(), cause: Cause::Other };
    let cases = [
        (401, ID, CallError::Unauthorized { status: 401, message: "bad".into() }),
        (403, ID, CallError::Unauthorized { status: 403, message: "bad".into() }),
        (429, ID, CallError::Throttled),
        (400, ID, CallError::Refused(refusal)),
        (500, ID, unanswered("status 500")),
        (302, ID, unanswered("status 302")),
        (200, "", foreign(200)),
        (401, "", foreign(401)),
        (404, "", foreign(404)),
    ];
    for (status, headers, expected) in cases {
        let server = Server::start(Then::Answer(answer(status, headers, r#"{"message":"bad"}"#))).await;
        assert_eq!(server.client().profile("U1").await, Err(expected), "status {status}, {headers:?}");
    }
}

#[tokio::test]
async fn a_user_without_a_profile_is_none() {
    let mut server = Server::start(Then::Answer(answer(404, ID, r#"{"message":"Not found"}"#))).await;
    let client = server.client();
    assert_eq!(client.profile("U1").await, Ok(None));
    server.requests.recv().await.unwrap();
    for not_an_id in ["", "..", "../info", "U1?x", "U1/x", "Ü"] {
        assert_eq!(client.profile(not_an_id).await, Ok(None), "{not_an_id}");
    }
    assert!(server.requests.try_recv().is_err());
}

#[tokio::test]
async fn validation_passes_on_the_details() {
    let mut server = Server::start(Then::Answer(answer(200, ID, "{}"))).await;
    assert_eq!(server.client().validate_push(br#"[{"type":"text"}]"#).await, Ok(Validation::Valid));
    let request = String::from_utf8(server.requests.recv().await.unwrap()).unwrap();
    assert!(request.ends_with("\r\n\r\n{\"messages\":[{\"type\":\"text\"}]}"), "{request}");

    let body = r#"{"message":"The request body has 1 error(s)","details":[
        {"message":"Size must be between 1 and 5","property":"messages"}]}"#;
    let server = Server::start(Then::Answer(answer(400, ID, body))).await;
    let expected = Validation::Invalid {
        message: "The request body has 1 error(s)".into(),
        details: vec![Detail { property: "messages".into(), message: "Size must be between 1 and 5".into() }],
    };
    assert_eq!(server.client().validate_push(b"[]").await, Ok(expected));
}

#[test]
fn timeouts_may_not_contradict_each_other() {
    let second = Duration::from_secs(1);
    let error = Client::new(Endpoint::line(), Timeouts { connect: second, request: second }).unwrap_err();
    assert!(matches!(error, ClientError::Timeouts { .. }), "{error}");
    assert!(Client::new(Endpoint::line(), Timeouts::default()).is_ok());
}
