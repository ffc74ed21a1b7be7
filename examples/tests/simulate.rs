//! `simulate`, as a user runs it: what it prints, what it draws, and what it says of a file that is wrong.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::TempDir;
use roxmltree::{Document, Node};

fn simulate(file: &Path, picture: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulate"));
    command.arg(file);
    if let Some(picture) = picture {
        command.arg("--svg").arg(picture);
    }
    command.output().expect("start simulate")
}

/// Its exit code, and what it says of errors.
fn verdict(text: &str) -> (Option<i32>, String) {
    let folder = TempDir::new();
    let output = simulate(&folder.write("scenario.txt", text), None);
    let said = String::from_utf8_lossy(&output.stderr).replace(&folder.path().display().to_string(), "");
    (output.status.code(), said)
}

/// The picture of a scenario.
fn draw(text: &str) -> (Option<i32>, String) {
    let folder = TempDir::new();
    let picture = folder.file("picture.svg");
    let output = simulate(&folder.write("scenario.txt", text), Some(&picture));
    (output.status.code(), std::fs::read_to_string(picture).expect("a picture"))
}

fn class<'a>(node: &Node<'a, '_>) -> &'a str {
    node.attribute("class").unwrap_or_default()
}

/// The names of the lanes, and the classes of what is drawn in each.
fn lanes(document: &Document<'_>) -> Vec<(String, Vec<String>)> {
    let lanes = document.descendants().filter(|node| class(node) == "lane");
    lanes
        .map(|lane| {
            let shapes = lane.children().filter(Node::is_element).map(|shape| class(&shape).to_owned());
            (lane.attribute("data-name").expect("a name").to_owned(), shapes.collect())
        })
        .collect()
}

#[test]
fn every_scenario_of_the_core_runs_as_written_and_is_drawn_with_a_lane_for_each_router() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vrrp-core/tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    assert!(files.len() > 50, "{files:?}");
    let pictures = TempDir::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let picture = pictures.file("picture.svg");
        let output = simulate(&file, Some(&picture));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.as_ref()), (Some(0), ""), "{}", file.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{}", file.display());

        let picture = std::fs::read_to_string(&picture).unwrap();
        let document = Document::parse(&picture).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let drawn = lanes(&document);
        let mut routers = Vec::new();
        for words in text.lines().filter_map(|line| line.strip_prefix("node ")).map(str::split_whitespace) {
            let words: Vec<&str> = words.collect();
            match words.iter().find_map(|word| word.strip_prefix("lan=")).filter(|lans| lans.contains(',')) {
                Some(lans) => routers.extend(lans.split(',').map(|lan| format!("{}@{lan}", words[0]))),
                None => routers.push(words[0].to_owned()),
            }
        }
        let names: Vec<&String> = drawn.iter().map(|(name, _)| name).collect();
        assert_eq!(names, routers.iter().collect::<Vec<_>>(), "{}", file.display());
        for (name, shapes) in &drawn {
            assert!(
                shapes.iter().any(|shape| shape == "backup" || shape == "active"),
                "{}: {name} {shapes:?}",
                file.display()
            );
        }
    }
}

#[test]
fn a_lane_shows_roles_advertisements_faults_and_addresses_in_their_order() {
    let scenario = "\
# One dies & <another> takes \"over\". More words.
node a priority=150
node b
start all
run 5s
stall b 100ms
run 500ms
crash a
run 10s
hand-over b leave
run 5s
";
    let (code, picture) = draw(scenario);
    assert_eq!(code, Some(0));
    let document = Document::parse(&picture).unwrap();
    assert!(picture.contains("prefers-color-scheme: dark"), "it can be read in the dark");
    let title = document.descendants().find(|node| class(node) == "title").and_then(|node| node.text());
    assert_eq!(title, Some("One dies & <another> takes \"over\"."));

    let lanes = lanes(&document);
    let of = |lane: usize, wanted: &[&str]| -> Vec<&str> {
        lanes[lane].1.iter().map(String::as_str).filter(|class| wanted.contains(class)).collect()
    };
    let roles = ["none", "initialize", "backup", "claimant", "active", "heldup"];
    assert_eq!(of(0, &roles), ["backup", "active", "none"]);
    assert_eq!(of(1, &roles), ["backup", "active", "initialize", "heldup"]);
    assert_eq!(of(0, &["sent"]).len(), 3, "at 3.4, 4.4 and 5.4 s");
    assert_eq!(of(1, &["resignation"]).len(), 2, "it calls a successor, and when nobody comes it goes");
    assert_eq!((of(0, &["fault"]).len(), of(1, &["fault"]).len()), (1, 2));
    assert_eq!((of(0, &["address"]).len(), of(1, &["address"]).len()), (1, 1));

    // The places are times: 5 s, 5.5 s and 15.5 s of 20.5 s.
    let deeds = document.descendants().filter(|node| class(node) == "deed");
    let places: Vec<f64> = deeds.map(|deed| deed.attribute("x1").unwrap().parse().unwrap()).collect();
    let width = |part: f64| part / (places[3] - places[0]) * 15.5;
    assert!((width(places[1] - places[0]) - 5.0).abs() < 0.01, "{places:?}");
    assert!((width(places[2] - places[0]) - 5.5).abs() < 0.01, "{places:?}");
    let listed: Vec<&str> =
        document.descendants().filter(|node| class(node) == "small deeds").filter_map(|node| node.text()).collect();
    assert_eq!(listed[2], "3  5.500 s  crash a");
}

#[test]
fn an_advertisement_that_cannot_be_sent_is_drawn_as_one() {
    let (_, picture) = draw("node a\nstart a\nrun 5s\nsends a fail\nrun 1s\n");
    let document = Document::parse(&picture).unwrap();
    assert!(lanes(&document)[0].1.iter().any(|class| class == "failed"), "{picture}");
}

#[test]
fn a_scenario_without_anything_is_a_picture_without_lanes() {
    let (code, picture) = draw("");
    assert_eq!((code, lanes(&Document::parse(&picture).unwrap())), (Some(0), vec![]));
}

#[test]
fn a_name_with_characters_of_xml_is_drawn_as_it_is() {
    let (code, picture) = draw("node a<\"&'\u{1}>\nstart all\nrun 5s\n");
    assert_eq!(code, Some(0));
    assert_eq!(lanes(&Document::parse(&picture).unwrap())[0].0, "a<\"&'\u{fffd}>");
}

#[test]
fn a_line_that_is_wrong_is_named_with_its_number() {
    let (code, error) = verdict("# comment\nnode a\nnode b priority=256\n");
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: /scenario.txt:3: "), "{error}");
    assert!(error.contains("256 is not 1..=255"), "{error}");
    let (code, error) = verdict("node a\n\nfly a\n");
    assert_eq!((code, error.as_str()), (Some(2), "error: /scenario.txt:3: \"fly\" is no command\n"));
    let output = simulate(Path::new("/nowhere/scenario.txt"), None);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read /nowhere/scenario.txt"));
}

#[test]
fn what_does_not_happen_as_written_is_a_failure_that_names_the_line() {
    let written =
        "node a\nstart a\n----\n   0.000000 a       starts\n   0.000000 a       Initialize -> Active: started\n";
    let (code, error) = verdict(written);
    assert_eq!(code, Some(1));
    assert!(error.starts_with("/scenario.txt:5: not as written"), "{error}");
    assert!(error.contains("Initialize -> Backup: started"), "{error}");
}

#[test]
fn what_must_not_happen_is_a_failure_and_is_marked_in_the_picture() {
    // Nobody may take addresses without an end to their lease to the grave.
    let scenario = "node a priority=150 lease=off\nnode b\nstart all\nrun 5s\ncrash a\nrun 10s\n";
    let (code, error) = verdict(scenario);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("O3 address = role: a has the addresses without the role"), "{error}");
    let (_, picture) = draw(scenario);
    let document = Document::parse(&picture).unwrap();
    // One is the legend's, one is on the axis, one is in the list.
    assert_eq!(document.descendants().filter(|node| class(node) == "violation").count(), 3);
}
