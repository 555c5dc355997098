//! `--report`: one page for a browser that needs nothing else, no network and no script. Charts are drawn by `chart`.

mod chart;

use super::numbers::{grouped, rounded};
use super::outcome::{Fields, Outcome, Row};
use super::table;
use chart::{Chart, Line, Scale};
use serde_json::Value;
use std::fmt::Write;

/// The page.
pub(super) fn page(outcome: &Outcome) -> String {
    let Outcome { bench, targets, .. } = outcome;
    let title = escape(&format!("bench {bench} {}", targets.join(" ")));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n"
    );
    add(&mut page, format_args!("<header><p class=\"kind\">tidegate bench {}</p>", escape(bench)));
    add(&mut page, format_args!("<h1>{}</h1>", escape(&targets.join(", "))));
    add(&mut page, format_args!("<p class=\"sub\">{}</p></header>\n", escape(&outcome.headline)));
    tiles(&mut page, outcome);
    verdict(&mut page, outcome);
    charts(&mut page, outcome);
    tables(&mut page, outcome);
    add(
        &mut page,
        format_args!("<footer>tidegate {}, {}</footer>\n</main></body></html>\n", outcome.version, outcome.ended),
    );
    page
}

/// Writing to a text cannot fail.
fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

fn tiles(page: &mut String, outcome: &Outcome) {
    let latency = &outcome.latency_us;
    let mut all = Vec::new();
    match outcome.rate {
        Some(rate) => all.push((format!("{} a second", outcome.unit), rounded(rate))),
        None => all.extend(counted(outcome, outcome.unit)),
    }
    if latency.count > 0 {
        for (name, value) in
            [("p50", latency.p50), ("p99", latency.p99), ("p99.9", latency.p99_9), ("longest", latency.max)]
        {
            all.push((format!("{name}, us"), rounded(value)));
        }
    }
    if let Some(server) = &outcome.server {
        if let Some(each) = server.cpu_us_per_message {
            all.push((format!("server CPU, us a {}", table::one(outcome.unit)), rounded(each)));
        }
        if let Some(bytes) = server.rss_anon_per_connection {
            all.push(("bytes a connection".to_owned(), rounded(bytes)));
        }
    }
    all.extend(counted(outcome, "lost"));
    let errors: u64 = outcome.errors.0.iter().filter_map(|(_, count)| count.as_u64()).sum();
    all.push(("errors".to_owned(), grouped(errors)));
    page.push_str("<section class=\"tiles\">");
    for (name, value) in all {
        add(page, format_args!("<div><b>{}</b><span>{}</span></div>", escape(&value), escape(&name)));
    }
    page.push_str("</section>\n");
}

/// A count by its name, where there is one.
fn counted(outcome: &Outcome, name: &str) -> Option<(String, String)> {
    let (_, value) = outcome.counts.0.iter().find(|(known, _)| known == name)?;
    Some((name.to_owned(), table::shown(value)))
}

fn verdict(page: &mut String, outcome: &Outcome) {
    let is_own = outcome.verdict.bottleneck == "load";
    let class = if is_own { "verdict own" } else { "verdict" };
    add(page, format_args!("<section class=\"{class}\"><h2>What set the limit</h2>"));
    for sentence in &outcome.verdict.words {
        add(page, format_args!("<p>{}</p>", escape(sentence)));
    }
    page.push_str("</section>\n");
}

fn charts(page: &mut String, outcome: &Outcome) {
    let rows = &outcome.series;
    if rows.len() >= 2 && outcome.rate.is_some() {
        let points = over_rows(rows, |row| row.rate);
        let most = rows.iter().map(|row| row.rate).fold(0.0, f64::max);
        let chart = Chart {
            title: capital(&format!("{} a second", outcome.unit)),
            below: "seconds since the window began".to_owned(),
            x: Scale::seconds(last(rows)),
            y: Scale::from_zero(most),
            lines: vec![Line { name: format!("{}/s", outcome.unit), points, is_filled: true }],
        };
        page.push_str(&chart.draw());
    }
    if outcome.latency_us.count == 0 {
        return;
    }
    if rows.len() >= 2 {
        page.push_str(&over_time(rows).draw());
    }
    page.push_str(&by_percentile(outcome).draw());
}

fn last(rows: &[Row]) -> f64 {
    rows.last().map_or(1.0, |row| row.at)
}

/// The value of each row at its end, and that of the first at its beginning too.
fn over_rows(rows: &[Row], of: fn(&Row) -> f64) -> Vec<(f64, f64)> {
    let beginning = rows.first().map(|row| (row.at - row.seconds, of(row)));
    beginning.into_iter().chain(rows.iter().map(|row| (row.at, of(row)))).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn over_time(rows: &[Row]) -> Chart {
    let line = |name: &str, of: fn(&Row) -> f64| Line {
        name: name.to_owned(),
        points: over_rows(rows, of).into_iter().filter(|(_, value)| *value > 0.0).collect(),
        is_filled: false,
    };
    let lines = vec![
        line("p50", |row| row.p50),
        line("p90", |row| row.p90),
        line("p99", |row| row.p99),
        line("p99.9", |row| row.p99_9),
        line("longest", |row| row.max),
    ];
    Chart {
        title: "Latency over time, microseconds".to_owned(),
        below: "seconds since the window began".to_owned(),
        x: Scale::seconds(last(rows)),
        y: Scale::logarithmic(&lines),
        lines,
    }
}

fn by_percentile(outcome: &Outcome) -> Chart {
    // All of them would be infinitely far away: they stand where one of so many is left.
    let nines = (outcome.latency_us.count as f64).log10().max(1.0);
    let place = |percentile: f64| (-(1.0 - percentile / 100.0).log10()).min(nines);
    let points = outcome.latency_percentiles.iter().map(|(percentile, us)| (place(*percentile), *us)).collect();
    let lines = vec![Line { name: "latency".to_owned(), points, is_filled: true }];
    Chart {
        title: "Latency by percentile, microseconds".to_owned(),
        below: "share of all that came within this time".to_owned(),
        x: Scale::nines(nines),
        y: Scale::logarithmic(&lines),
        lines,
    }
}

fn tables(page: &mut String, outcome: &Outcome) {
    page.push_str("<section class=\"tables\">\n");
    list(page, "Counts", &outcome.counts);
    if outcome.errors.0.is_empty() {
        list(page, "Errors", &Fields::default().with("none", ""));
    } else {
        list(page, "Errors", &outcome.errors);
    }
    list(page, "Settings", &outcome.settings);
    let machine = &outcome.machine;
    let of_machine = Fields::default()
        .with("cpu", machine.cpu.clone())
        .with("cores", machine.cores)
        .with("kernel", machine.kernel.clone());
    list(page, "Machine", &of_machine);
    let load = &outcome.load;
    let of_load = Fields::default()
        .with(format!("CPU, us a {}", table::one(outcome.unit)), load.cpu_us_per_message)
        .with("busy, %", load.busy * 100.0)
        .with("waited for a CPU, %", load.waiting * 100.0)
        .with("turn of its loop, p99 us", load.turn_us.p99)
        .with("longest turn, us", load.turn_us.max)
        .with("late, p99 us", load.late_us.as_ref().map(|late| late.p99))
        .with("latest, us", load.late_us.as_ref().map(|late| late.max));
    list(page, "The load itself", &of_load);
    if let Some(server) = &outcome.server {
        let of_server = Fields::default()
            .with(format!("CPU, us a {}", table::one(outcome.unit)), server.cpu_us_per_message)
            .with("busy, % of a CPU", server.busy * 100.0)
            .with("bytes a connection", server.rss_anon_per_connection)
            .with("memory before, bytes", server.rss_anon_before)
            .with("memory at the start, bytes", server.rss_anon_at_start)
            .with("memory at the end, bytes", server.rss_anon_at_end);
        list(page, "The server", &of_server);
    }
    page.push_str("</section>\n");
}

fn list(page: &mut String, title: &str, fields: &Fields) {
    add(page, format_args!("<div><h2>{title}</h2><table>"));
    for (name, value) in fields.0.iter().filter(|(_, value)| !is_nothing(value)) {
        let (name, value) = (escape(&name.replace('_', " ")), escape(&table::shown(value)));
        add(page, format_args!("<tr><th>{name}</th><td>{value}</td></tr>"));
    }
    page.push_str("</table></div>\n");
}

/// Whether a value says that there is none.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Text that a page shows as it is.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fbfbf9;--panel:#fff;--ink:#1c2330;--soft:#5c6675;--rule:#dfe3e8;\
--c0:#0b6e99;--c1:#3d8f5f;--c2:#b7791f;--c3:#c2552d;--c4:#8b2f5c;--fill:#0b6e9922;--own:#fdf1dc;--ownrule:#d9a441}
@media(prefers-color-scheme:dark){:root{--ground:#12161c;--panel:#1a2028;--ink:#e6e9ee;--soft:#9aa5b4;--rule:#323b47;\
--c0:#5cb8e0;--c1:#74c893;--c2:#e3b45c;--c3:#ee8f6c;--c4:#d586b0;--fill:#5cb8e022;--own:#33290f;--ownrule:#a97f2b}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 24px}
.kind{margin:0;color:var(--soft);font-size:13px;letter-spacing:.04em}
h1{margin:2px 0;font-size:24px;overflow-wrap:anywhere}
h2{margin:0 0 8px;font-size:15px}
.sub{margin:0 0 20px;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin-bottom:16px}
.tiles div,.chart,.tables div,.verdict{background:var(--panel);border:1px solid var(--rule);border-radius:8px;padding:14px 16px}
.tiles b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:13px}
.verdict{margin-bottom:16px;border-left:4px solid var(--c0)}
.verdict.own{background:var(--own);border-color:var(--ownrule)}
.verdict p{margin:0 0 4px}
.chart{margin:0 0 16px}
.chart figcaption{display:flex;flex-wrap:wrap;gap:4px 18px;align-items:baseline;margin-bottom:6px}
.chart figcaption b{font-size:15px;margin-right:auto}
.chart figcaption span{color:var(--soft);font-size:13px}
.chart i{display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle;border-radius:2px}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.grid{stroke:var(--rule);stroke-width:1}
.l{fill:none;stroke-width:2;stroke-linejoin:round}
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l4{stroke:var(--c4)}
.d0{fill:var(--c0);background:var(--c0)}.d1{fill:var(--c1);background:var(--c1)}.d2{fill:var(--c2);background:var(--c2)}\
.d3{fill:var(--c3);background:var(--c3)}.d4{fill:var(--c4);background:var(--c4)}
.area{fill:var(--fill)}
.tables{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:16px}
table{border-collapse:collapse;width:100%}
th{font-weight:400;color:var(--soft);text-align:left;padding:2px 12px 2px 0;vertical-align:top}
td{text-align:right;font-variant-numeric:tabular-nums;padding:2px 0;overflow-wrap:anywhere}
footer{margin-top:24px;color:var(--soft);font-size:13px}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_shown_and_does_nothing() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
