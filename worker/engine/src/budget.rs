//! How much work a fit may cost, in distance computations.
//!
//! Called by the searches for core points, which estimate their cost from a few rows before they begin. One computation is the
//! distance between two rows, or between a row and a box of the index. A core does about `COORDINATES_A_SECOND / features` of them
//! in a second, so that seconds times cores times that is a budget.

use crate::error::{EngineError, Result};

/// Coordinates that one core takes into distances in a second, with AVX2: a rough figure, of fits without a cut-off.
pub const COORDINATES_A_SECOND: f64 = 1e10;
/// Coordinates that an estimate may cost: some hundredths of a second.
const TRIAL: f64 = 2e8;
/// Rows or blocks that an estimate tries at most.
const TRIALS: usize = 64;
/// Clusters and borders are searched for like core points, and mostly cost less.
const STAGES: f64 = 2.0;

/// Refuses a fit whose `units` searches would cost more than the budget. `cost` tries one of them and says how many distances it
/// computed. The sample is spread evenly and always the same.
pub fn check(budget: Option<f64>, units: usize, features: usize, mut cost: impl FnMut(usize) -> u64) -> Result<()> {
    let Some(budget) = budget.filter(|_| units > 0) else { return Ok(()) };
    let (mut spent, mut tried) = (0_u64, 0);
    while tried < TRIALS.min(units) && (spent as f64) * (features as f64) < TRIAL {
        // Steps of the golden ratio spread any number of trials evenly.
        let share = (tried as f64 + 0.5) * 0.618_033_988_749_894_9 % 1.0;
        spent += cost(((share * units as f64) as usize).min(units - 1));
        tried += 1;
    }
    let estimate = STAGES * spent as f64 / tried as f64 * units as f64;
    if estimate <= budget {
        return Ok(());
    }
    Err(EngineError::OverBudget(format!(
        "The fit would take about {estimate:.1e} distance computations, more than work_budget={budget:.1e} (about {:.0} and {:.0} \
         seconds of one core). A smaller 'eps' or 'min_samples' gives each row fewer neighbours to count; fewer rows or features \
         also cost less.",
        seconds(estimate, features),
        seconds(budget, features),
    )))
}

fn seconds(computations: f64, features: usize) -> f64 {
    computations * features as f64 / COORDINATES_A_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_mean_cost_of_all_units_in_all_stages() {
        assert!(check(Some(2000.0), 100, 8, |_| 10).is_ok());
        let message = check(Some(1999.0), 100, 8, |_| 10).unwrap_err().to_string();
        assert!(message.contains("2.0e3") && message.contains("'eps'"), "{message}");
    }

    #[test]
    fn an_estimate_ends_soon_and_asks_for_units_that_exist() {
        let mut asked = Vec::new();
        let refused = check(Some(1.0), 1_000_000, 1, |unit| {
            asked.push(unit);
            100_000_000
        });
        assert!(refused.is_err() && asked.len() == 2 && asked.iter().all(|&unit| unit < 1_000_000));
    }

    #[test]
    fn without_a_budget_nothing_is_tried() {
        assert!(check(None, 10, 2, |_| unreachable!()).is_ok());
        assert!(check(Some(1.0), 0, 2, |_| unreachable!()).is_ok());
    }
}
