//! When a client is left alone, waited for, and given up.

use super::*;

/// What a body of two bytes follows.
const HEAD: &[u8] = b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n";
const EARLY: &[u8] = b"GET /early HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads one answer in parts, with a pause before each.
async fn read_answer(client: &mut DuplexStream, pause: Duration) {
    let mut answer = Vec::new();
    while !answer.ends_with(&[b'x'; BODY]) {
        sleep(pause).await;
        let reading = timeout(2 * PATIENCE, client.read_buf(&mut answer));
        let read = reading.await.expect("nobody answers").unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
    }
}

/// Waits for a good while.
async fn pause() {
    sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_may_ask_again_until_its_deadline() {
    let (mut client, served, _phases) = connect(4_096);
    let mut asked = Instant::now();
    for wait in [PATIENCE * 9 / 10, PATIENCE * 9 / 10, Duration::ZERO] {
        client.write_all(EARLY).await.unwrap();
        read_answer(&mut client, Duration::ZERO).await;
        asked = Instant::now();
        sleep(wait).await;
    }
    served.await.unwrap();
    assert_eq!(asked.elapsed().as_secs(), PATIENCE.as_secs());
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_answer_is_on_its_way_is_served() {
    let (mut client, served, _phases) = connect(4_096);
    // It has been quiet in the middle of a head.
    client.write_all(b"GET /").await.unwrap();
    pause().await;
    client
        .write_all(b"slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    read_answer(&mut client, Duration::ZERO).await;
    assert!(!served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answer_slowly_is_served() {
    let (mut client, served, _phases) = connect(256);
    client.write_all(HEAD).await.unwrap();
    pause().await;
    // With its body, all that the client had to say is said.
    client.write_all(b"ab").await.unwrap();
    read_answer(&mut client, Duration::from_millis(1_500)).await;
    assert!(!served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_in_the_middle_of_a_message_is_served() {
    let head = &REQUEST[..REQUEST.len() - 1];
    for begun in [&b"\r"[..], b"\r\n", &REQUEST[..1], head, HEAD] {
        let (mut client, served, _phases) = connect(4_096);
        client.write_all(EARLY).await.unwrap();
        read_answer(&mut client, Duration::ZERO).await;
        client.write_all(begun).await.unwrap();
        pause().await;
        assert!(!served.is_finished(), "{begun:?}");
        served.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_when_its_time_is_over() {
    let (mut client, served, _phases) = connect(100);
    client.write_all(EARLY).await.unwrap();
    let begun = Instant::now();
    // A little counts as something.
    sleep(PATIENCE / 2).await;
    client.read_exact(&mut [0; 10]).await.unwrap();
    served.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), (PATIENCE * 3 / 2).as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_side_is_taken_for_gone() {
    for asked in ["/slow", "/early"] {
        let (mut client, served, _phases) = connect(100);
        let request = format!("GET {asked} HTTP/1.1\r\nhost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        client.shutdown().await.unwrap();
        served.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_is_waited_for_until_its_deadline() {
    for (begun, answer) in [("", ""), ("\r\n", ""), ("GET / HT", "HTTP/1.1 408 ")] {
        let (mut client, served, _phases) = connect(4_096);
        client.write_all(b"\r\n").await.unwrap();
        let at = Instant::now();
        client.write_all(begun.as_bytes()).await.unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        assert_eq!(told.get(..answer.len()), Some(answer), "{begun:?}");
        assert_eq!(told.is_empty(), answer.is_empty(), "{begun:?}");
        assert_eq!(at.elapsed().as_secs(), PATIENCE.as_secs());
        drop(client);
        served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_proxy_comes_after_the_answer() {
    let (mut client, served, phases) = connect(4_096);
    let slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(&[&slow[..], slow].concat()).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    phases.enter(Phase::Finishing);
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
    assert!(answers.contains("connection: close\r\n"), "{answers}");
    served.await.unwrap();

    let (client, served, phases) = connect(4_096);
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    phases.enter(Phase::Finishing);
    served.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_everything_cuts_what_is_under_way() {
    let (mut client, served, phases) = connect(4_096);
    let slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(slow).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    phases.enter(Phase::Over);
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers, "");
    served.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
