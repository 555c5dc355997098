//! A chart as SVG that stands in a page: lines over a grid, with a legend. Colours are the page's.

use super::super::numbers::rounded;
use super::{add, escape};

/// Lines over two scales.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What stands below the scale that goes to the right.
    pub(super) below: String,
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) lines: Vec<Line>,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Places and values, from left to right.
    pub(super) points: Vec<(f64, f64)>,
    /// The ground below it is filled.
    pub(super) is_filled: bool,
}

/// From a value to a place, and the values that are written beside it.
#[derive(Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;
/// Points of a line that get a dot each, which tells its value.
const MAX_DOTS: usize = 120;
/// Values written beside a scale, about.
const TICKS: f64 = 6.0;

impl Scale {
    /// From zero to a round number above `most`.
    pub(super) fn from_zero(most: f64) -> Self {
        let step = round_step(most.max(1e-9) / TICKS);
        let count = (most / step).ceil().max(1.0);
        let ticks = (0..=count as usize).map(|n| n as f64 * step).map(|value| (value, shown(value))).collect();
        Self { low: 0.0, high: count * step, is_logarithmic: false, ticks }
    }

    /// Seconds, up to exactly the last one.
    pub(super) fn seconds(last: f64) -> Self {
        let step = round_step(last / (2.0 * TICKS)).max(0.1);
        let ticks = (0..=(last / step) as usize).map(|n| n as f64 * step).map(|value| (value, shown(value))).collect();
        Self { low: 0.0, high: last, is_logarithmic: false, ticks }
    }

    /// Powers of ten around all values, which are above zero.
    pub(super) fn logarithmic(lines: &[Line]) -> Self {
        let values = || lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value)).filter(|v| *v > 0.0);
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        if least > most {
            return Self::from_zero(1.0);
        }
        let (low, high) = (below(least), above(most));
        let mut ticks = Vec::new();
        let is_wide = (high / low).log10() > 3.0;
        let mut decade = 10f64.powf(low.log10().floor());
        while decade <= high * 1.001 {
            for factor in if is_wide { &[1.0][..] } else { &[1.0, 2.0, 5.0][..] } {
                let value = decade * factor;
                if value >= low * 0.999 && value <= high * 1.001 {
                    ticks.push((value, shown(value)));
                }
            }
            decade *= 10.0;
        }
        Self { low, high, is_logarithmic: true, ticks }
    }

    /// How many nines a percentile has: 90 %, 99 %, 99.9 % and so on.
    pub(super) fn nines(most: f64) -> Self {
        let mut ticks = vec![(0.0, "0 %".to_owned()), (0.5f64.log10().abs(), "50 %".to_owned())];
        for nines in 1..=(most as usize) {
            let text = match nines {
                1 => "90 %".to_owned(),
                2 => "99 %".to_owned(),
                _ => format!("99.{} %", "9".repeat(nines - 2)),
            };
            ticks.push((nines as f64, text));
        }
        Self { low: 0.0, high: most, is_logarithmic: false, ticks }
    }

    /// Where a value stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let share = match self.is_logarithmic {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        share.clamp(0.0, 1.0)
    }
}

/// The greatest of 1, 2, 5 times a power of ten that is not above a value.
fn below(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].iter().map(|factor| factor * decade).find(|round| *round <= value).unwrap_or(decade)
}

/// The least of them that is not below it.
fn above(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * decade).find(|round| *round >= value).unwrap_or(decade * 10.0)
}

fn round_step(step: f64) -> f64 {
    above(step.max(1e-9))
}

fn shown(value: f64) -> String {
    if value.fract() == 0.0 { super::grouped(value as u64) } else { format!("{value:.1}") }
}

impl Chart {
    /// The figure.
    pub(super) fn draw(&self) -> String {
        let mut out = String::new();
        let Self { title, below, lines, .. } = self;
        add(&mut out, format_args!("<figure class=\"chart\"><figcaption><b>{}</b>", escape(title)));
        if lines.len() > 1 {
            for (at, line) in lines.iter().enumerate() {
                add(&mut out, format_args!("<span><i class=\"d{at}\"></i>{}</span>", escape(&line.name)));
            }
        }
        add(&mut out, format_args!("</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">"));
        add(&mut out, format_args!("<title>{}</title>", escape(title)));
        self.grid(&mut out);
        for (at, line) in lines.iter().enumerate() {
            self.line(&mut out, at, line);
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        add(&mut out, format_args!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">", HEIGHT - 8.0));
        add(&mut out, format_args!("{}</text></svg></figure>\n", escape(below)));
        out
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn grid(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.y.ticks {
            let y = self.y(*value);
            add(out, format_args!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
            add(out, format_args!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 8.0, y + 4.0));
        }
        for (value, text) in &self.x.ticks {
            let x = self.x(*value);
            add(out, format_args!("<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"));
            let anchor = if x > right - 20.0 { "end" } else { "middle" };
            add(out, format_args!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{text}</text>", bottom + 17.0));
        }
    }

    fn line(&self, out: &mut String, at: usize, line: &Line) {
        let places: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.x(*x), self.y(*y))).collect();
        let (Some((first, _)), Some((last, _))) = (line.points.first(), line.points.last()) else {
            return;
        };
        let bottom = HEIGHT - BOTTOM;
        if line.is_filled {
            let (from, to) = (self.x(*first), self.x(*last));
            let path = places.join(" ");
            add(out, format_args!("<polygon class=\"area\" points=\"{from:.1},{bottom} {path} {to:.1},{bottom}\"/>"));
        }
        add(out, format_args!("<polyline class=\"l l{at}\" points=\"{}\"/>", places.join(" ")));
        if line.points.len() <= MAX_DOTS {
            for (x, y) in &line.points {
                let (cx, cy) = (self.x(*x), self.y(*y));
                add(out, format_args!("<circle class=\"d{at}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\">"));
                add(out, format_args!("<title>{}: {}</title></circle>", escape(&line.name), rounded(*y)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn scales_have_round_numbers() {
        assert_eq!(ticks(&Scale::from_zero(41_234.0)), ["0", "10,000", "20,000", "30,000", "40,000", "50,000"]);
        assert_eq!(ticks(&Scale::seconds(10.0)), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
        assert_eq!(ticks(&Scale::nines(4.5)), ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        let line = |values: &[f64]| Line {
            name: String::new(),
            points: values.iter().map(|value| (0.0, *value)).collect(),
            is_filled: false,
        };
        assert_eq!(ticks(&Scale::logarithmic(&[line(&[73.0, 812.0])])), ["50", "100", "200", "500", "1,000"]);
        assert_eq!(ticks(&Scale::logarithmic(&[line(&[7.0, 90_000.0])])), ["10", "100", "1,000", "10,000", "100,000"]);
    }

    #[test]
    fn every_value_has_its_place_between_the_ends() {
        let scale = Scale::from_zero(100.0);
        assert!((scale.place(50.0) - 0.5).abs() < 1e-9 && scale.place(1e9) == 1.0 && scale.place(-1.0) == 0.0);
        let line = Line { name: "a<b".to_owned(), points: vec![(1.0, 10.0), (2.0, 1000.0)], is_filled: true };
        let lines = vec![line];
        let (x, y) = (Scale::seconds(2.0), Scale::logarithmic(&lines));
        assert!((y.place(100.0) - 0.5).abs() < 1e-9);
        let drawn = Chart { title: "t".to_owned(), below: "b".to_owned(), x, y, lines }.draw();
        assert!(drawn.contains("a&lt;b: 1,000") && !drawn.contains("NaN") && drawn.contains("<polygon"), "{drawn}");
    }
}
