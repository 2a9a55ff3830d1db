"""The calls of the recommender that answer, each by one release."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.ids import Id, check_id, check_ids
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.catalogue import ITEM
from vecrec.recommender.generation import Live
from vecrec.recommender.live import Watch
from vecrec.recommender.pipeline import Server
from vecrec.recommender.request import Request
from vecrec.rerankers.base import Reranks
from vecrec.types import Item, Recommendations, User
from vecrec.vector_stores.base import VectorStore

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.evaluation.live import LiveEvaluation

__all__ = ["Readers"]

_T = TypeVar("_T")


class Readers:
    """What a `Recommender` answers. Kept apart from what it changes for the sake of shorter files."""

    vector_store: VectorStore
    """Where the item vectors live."""
    metadata_store: MetadataStore
    """Where records and events live."""
    _watch: Watch
    _server: Server

    def recommend(
        self,
        user_id: Id,
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[Id] = (),
        disliked: Iterable[Id] = (),
        rerank: Reranks | Literal[False] | None = None,
    ) -> Recommendations:
        """The best items for a user, from their record, their history and nothing else.

        Args:
            user_id: Whom to recommend to. A user of whom nothing is stored gets popular items.
            k: How many; fewer come only with a ``shortfall`` that says why.
            where: A condition on the items, such as ``field("year") >= 1990``.
            exclude_seen: Leave out the items of their stored events.
            exclude: More items to leave out.
            disliked: Items that they dislike, the latest last, beside their events with a rating of at most
                ``dislike_rating``. None of them comes, whatever ``exclude_seen`` says, they are no part of the history
                that makes the user's vector, and what is like them comes later: a candidate's score loses its largest
                cosine to one of them, above 0.3, as a share of the span of the candidates' scores.
            rerank: A second stage that orders the best candidates anew, such as `vecrec.rerankers.MMRReranker`; the
                release's own by default, ``False`` for none.

        Raises:
            NotFittedError: when there is no live release.
        """
        request = Request.of(k, where, exclude_seen, exclude, disliked=disliked, rerank=rerank)
        ids = [check_id(user_id, "user id")]
        return self._watch.ask(lambda live: self._server.for_ids(live, ids, request))[0]

    def recommend_many(
        self,
        user_ids: Sequence[Id],
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[Id] = (),
        disliked: Iterable[Id] = (),
        rerank: Reranks | Literal[False] | None = None,
    ) -> list[Recommendations]:
        """What `recommend` gives for each of many users, in their order, in batched calls to the stores."""
        request = Request.of(k, where, exclude_seen, exclude, disliked=disliked, rerank=rerank)
        ids = check_ids(user_ids, "user id")
        return self._watch.ask(lambda live: self._server.for_ids(live, ids, request))

    def recommend_for(
        self,
        user: User,
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[Id] = (),
        disliked: Iterable[Id] = (),
        rerank: Reranks | Literal[False] | None = None,
    ) -> Recommendations:
        """What `recommend` gives, for somebody who is not stored: by a profile, a history, or both.

        Raises:
            InvalidDataError: also for a feature value that the schema does not allow.
        """
        if not isinstance(user, User):
            raise InvalidDataError(f"recommend_for takes a User, got {user!r}", "recommend takes an id")
        request = Request.of(k, where, exclude_seen, exclude, disliked=disliked, rerank=rerank)
        return self._watch.ask(lambda live: self._server.for_user(live, user, request))

    def similar_items(self, item_id: Id, k: int = 10, *, where: Filter | None = None) -> Recommendations:
        """The items whose vectors point in the direction of the item's, itself left out; scores are cosines.

        Raises:
            ItemNotFoundError: when the item is not in the catalogue.
        """
        request, key = Request.of(k, where, rerank=False), check_id(item_id, "item id")
        return self._watch.ask(lambda live: self._server.similar(live, key, request))

    def rank(
        self,
        user: User | Id,
        item_ids: Sequence[Id],
        *,
        disliked: Iterable[Id] = (),
        rerank: Reranks | Literal[False] | None = None,
    ) -> Recommendations:
        """Given items in order for somebody: the second stage alone, for candidates that come from elsewhere.

        Args:
            user: The id of a stored user, or somebody who is not stored.
            item_ids: What to put in order, seen and disliked items as well; those that are not in the catalogue are
                left out, and ``shortfall`` says so. Of an id given twice the first counts.
            disliked: As for `recommend`.
            rerank: As for `recommend`. It is handed all of the items, however many it wants.

        Raises:
            NotFittedError: when there is no live release.
        """
        ids = list(dict.fromkeys(check_ids(item_ids, "item id")))
        whom = user if isinstance(user, User) else check_id(user, "user id")
        request = Request.of(max(len(ids), 1), exclude_seen=False, disliked=disliked, rerank=rerank)
        return self._watch.ask(lambda live: self._server.rank(live, whom, ids, request))

    def ask(self, question: Callable[[Live], _T]) -> _T:
        """What ``question`` makes of the live release: its encoder, schema, collection and popular items.

        For what no other method answers, such as the score of a given pair. The release stays the same from beginning
        to end; where it is dropped meanwhile, the question is put again, to the next one.

        Args:
            question: Called with the live release, once or more often, so it must not write.

        Raises:
            NotFittedError: when there is no live release.
        """
        return self._watch.ask(question)

    def get_items(self, ids: Sequence[Id]) -> dict[Id, Item]:
        """The items of those ids that are in the catalogue, in the order of ``ids``."""
        return {key: Item(key, record) for key, record in self.metadata_store.get(ITEM, ids).items()}

    def evaluate(
        self,
        test: Dataset,
        k: int | Sequence[int] = (10, 50),
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
    ) -> LiveEvaluation:
        """Recommend to every user with an event in ``test`` as anybody would be served, and measure the result.

        Args:
            test: The events that are to be predicted, which the metadata store must not hold yet.
            k: How deep to look.
            where: A condition under which to recommend.
            exclude_seen: Whether items in the stored events of a user are excluded; ``False`` for repeats.

        Returns:
            The metrics of what was served beside those of an exact search with the same vectors, and for each k what
            became of the held-out items: found, or lost to the model, the index, the second stage, the filter or a
            missing record.

        Raises:
            InvalidDataError: for a k or a filter that is none, or a test without events.
            NotFittedError: when there is no live release.
        """
        from vecrec.evaluation.live import LivePath, evaluate_live

        def measure(live: Live) -> LiveEvaluation:
            def request(depth: int) -> Request:
                return Request.of(depth, where, exclude_seen)

            path = LivePath(
                encode_users=lambda users: self._server.vectors(live, users),
                dim=live.encoder.dim,
                collection=live.collection,
                vectors=self.vector_store,
                serve=lambda ids, depth: self._server.for_ids(live, ids, request(depth)),
                retrieve=lambda ids, depth: self._server.for_ids(live, ids, request(depth).plain),
                reranked=live.reranker is not None,
                read_users=lambda ids: self._server.users(live, ids),
                with_record=lambda ids: self.metadata_store.get(ITEM, ids),
                where=where,
                exclude_seen=exclude_seen,
            )
            return evaluate_live(path, test, k)

        return self._watch.ask(measure)
