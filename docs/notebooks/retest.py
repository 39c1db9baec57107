# %% [markdown]
# # Do people who come back score as they did?
#
# Each participant's second visit against their first, one panel a score, with Pearson's r (do they keep their
# order?), ICC(2,1) (do they keep their values?) and n. The numbers are the server's
# (`/api/research/statistics`, docs/RESEARCHERS.md): one session a participant and visit, none with a serious
# quality flag.
#
# As a notebook: open this file in VS Code, PyCharm or, with jupytext, Jupyter. As a script:
#
#     METRICIS_URL=… METRICIS_EMAIL=… METRICIS_PASSWORD=… python docs/notebooks/retest.py --study SRO
#
# It needs requests and matplotlib (`pip install 'metricis-sync[notebooks]'`).

# %%
import argparse
import os

import matplotlib.pyplot as plt
import requests

parser = argparse.ArgumentParser(description="Draw the test–retest scatter of each score of a study.")
parser.add_argument("--study", default=os.environ.get("METRICIS_STUDY", "DEMO"))
parser.add_argument("--first", default="baseline", help="visit")
parser.add_argument("--second", default="retest", help="visit")
parser.add_argument("--score", action="append", help="only this one; may be repeated")
parser.add_argument("--out", default="retest.png", help="picture: .png, .svg or .pdf")
# A notebook's own arguments are not ours.
asked, _ = parser.parse_known_args()

# %% [markdown]
# ## Log in

# %%
BASE = os.environ.get("METRICIS_URL", "http://127.0.0.1:8080").rstrip("/")
api = requests.Session()
login = {"username": os.environ["METRICIS_EMAIL"], "password": os.environ["METRICIS_PASSWORD"]}
answer = api.post(f"{BASE}/api/auth/login", data=login, timeout=30)
answer.raise_for_status()
api.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def ask(path, **parameters):
    """An answer of the statistics, as JSON."""
    parameters = {"study": asked.study, **parameters}
    found = api.get(f"{BASE}/api/research/statistics{path}", params=parameters, timeout=60)
    if not found.ok:
        raise SystemExit(f"{path or 'statistics'}: {found.json()['error']['message']}")
    return found.json()


# %% [markdown]
# ## Which scores does anybody have at both visits?

# %%
visits = {"first": asked.first, "second": asked.second}
scores = [each for each in ask("")["scores"] if set(visits.values()) <= each["participants"].keys()]
names = [each["name"] for each in scores if asked.score is None or each["name"] in asked.score]
retests = [ask(f"/{name}/retest", pairs="true", **visits) for name in names]
retests = [each for each in retests if each["pairs"]]
if not retests:
    raise SystemExit(f"Nobody of {asked.study} has a score at {asked.first} and at {asked.second}.")

# %% [markdown]
# ## In numbers


# %%
def told(correlation):
    """A coefficient with its interval; a dash where the sample defines none."""
    if correlation["value"] is None:
        return "–"
    if correlation["interval"] is None:
        return f"{correlation['value']:.2f}"
    low, high = correlation["interval"]
    return f"{correlation['value']:.2f} [{low:.2f}, {high:.2f}]"


print(f"{'score':44} {'n':>4}  {'r':20} {'ICC(2,1)':20} practice effect")
for each in retests:
    practice = each["practice_effect"]
    print(
        f"{each['sample']['score']:44} {practice['n']:>4}  {told(each['pearson']):20} {told(each['icc']):20}"
        f" {practice['mean_change']:+.3g} {each['sample']['unit']} ({practice['verdict']})"
    )

# %% [markdown]
# ## In pictures
#
# On the diagonal nothing has changed. Who shares a change lies beside it, and r does not see that; ICC does.

# %%
across = min(4, len(retests))
down = -(-len(retests) // across)
size = (3 * across, 3.2 * down)
figure, panels = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
for panel in panels.flat[len(retests) :]:
    panel.set_visible(False)
for panel, each in zip(panels.flat, retests, strict=False):
    first, second = zip(*each["pairs"], strict=True)
    lowest, highest = min(first + second), max(first + second)
    margin = (highest - lowest) * 0.05 or 1
    line = (lowest - margin, highest + margin)
    panel.plot(line, line, color="0.75", linewidth=1, zorder=1)
    panel.scatter(first, second, s=14, color="#1f6f8b", alpha=0.6, linewidths=0, zorder=2)
    panel.set(xlim=line, ylim=line, aspect="equal")
    panel.set_title(each["sample"]["label"].replace(": ", ":\n"), fontsize=8)
    coefficients = [each[name]["value"] for name in ("pearson", "icc")]
    r, icc = ["–" if value is None else f"{value:.2f}" for value in coefficients]
    numbers = f"r = {r}\nICC = {icc}\nn = {each['pearson']['n']}"
    panel.text(0.04, 0.96, numbers, transform=panel.transAxes, va="top", fontsize=7)
    panel.tick_params(labelsize=6)
    panel.set_xlabel(f"{asked.first} [{each['sample']['unit']}]", fontsize=7)
    panel.set_ylabel(asked.second, fontsize=7)
figure.savefig(asked.out, dpi=110)
print(f"{len(retests)} scores of {asked.study} in {asked.out}")
