"""The words for providers and kinds of credential: other spellings are taken, and words that we don't know are kept."""

from typing import Annotated, Final

from pydantic import AfterValidator

from domain.text import Name

OTHER_SPELLINGS: Final = {
    "azure-openai": "azure_openai",
    "aws-bedrock": "aws_bedrock",
    "bedrock": "aws_bedrock",
    "aws-knowledge-base": "aws_knowledge_base",
    "http-api-key": "http_api_key",
}


def canonical(word: str) -> str:
    return OTHER_SPELLINGS.get(word, word)


ProviderName = Annotated[Name, AfterValidator(canonical)]
