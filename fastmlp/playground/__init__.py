"""A page on which to train small networks: ``python -m fastmlp playground``.

A local server trains with fastmlp's estimators and sends the page pictures and figures.
In reading order: `datasets` and `features` (points of the plane, and a network's inputs
made of them), `state` (the settings of a lesson), `learners` (an estimator trained step
by step), `program` (the steps as a Python program), `pictures` and `measures` (of a
fitted network), `frames` (both as bytes), `session` (all of these for one user),
`_server` (tornado: addresses and messages), and `page/` (the code for the browser).

Only `_server` needs tornado, the extra `playground`.
"""

__all__ = ["run"]


def run(port: int = 0, *, browser: bool = True) -> None:
    """Serve the playground on this machine until the process is interrupted.

    Its address, with a token that changes with each start, is printed on a line of its
    own. Only programs of this machine that know the token can use it.

    Parameters
    ----------
    port : int, default=0
        0: a free one.
    browser : bool, default=True
        Open the page in the browser.

    Returns
    -------
    None
        When the process gets a KeyboardInterrupt.

    Raises
    ------
    ImportError
        If tornado, the extra `playground`, is not installed.
    OSError
        If the port is taken.
    """
    try:
        import tornado  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "The playground needs tornado: pip install 'fastmlp[playground]'."
        ) from error
    from fastmlp.playground._server import serve

    serve(port, browser)
