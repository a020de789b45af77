"""The shape of a run with three models as a flow of Metaflow, with steps that do nothing: see local.py."""

from metaflow import FlowSpec, step


class Same(FlowSpec):
    @step
    def start(self):
        self.models = ["adelie", "chinstrap", "gentoo"]
        self.next(self.train, foreach="models")

    @step
    def train(self):
        self.name = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.models = [one.name for one in inputs]
        self.next(self.choose)

    @step
    def choose(self):
        self.next(self.predict, foreach="models")

    @step
    def predict(self):
        self.next(self.postprocess)

    @step
    def postprocess(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Same()
